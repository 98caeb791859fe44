//! Lets a binary started by hand find libtorch where it was built against.

fn main() {
    // Handed on by ssl-torch, whose build script knows the folder.
    if let Some(lib) = std::env::var_os("DEP_SSL_TORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.to_string_lossy());
    }
}
