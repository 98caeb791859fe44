//! The view on made-up `torch` folders.

use super::*;

/// A `torch` package as the CUDA wheel lays it out, version 2.11.`patch`.
fn package(site: &Path, patch: u32) -> PathBuf {
    let torch = site.join("torch");
    let headers = torch.join("include/torch/headeronly");
    fs::create_dir_all(&headers).unwrap();
    let defines = format!("#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH {patch}\n");
    fs::write(headers.join("version.h"), defines).unwrap();
    for name in [
        "torch/lib/libtorch_cpu.so",
        "torch/lib/libtorch_cuda.so",
        "torch/lib/libgomp.so.1",
        "torch/lib/readme.txt",
        "nvidia/cu13/lib/libcudart.so.13",
        "nvidia/cu13/lib/libcublas.so.13",
    ] {
        let path = site.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    torch
}

#[test]
fn the_view_has_what_a_cpu_build_needs_and_no_cuda() {
    let dir = tempfile::tempdir().unwrap();
    let (torch, view) = (package(dir.path(), 0), dir.path().join("view"));
    link(&torch, &view, None).unwrap();
    for there in [
        "include/torch",
        "lib/libtorch_cpu.so",
        "lib/libgomp.so.1",
        "lib/libcudart.so.13",
        "full/lib/libtorch_cuda.so",
        "build-version",
    ] {
        assert!(view.join(there).exists(), "{there}");
    }
    for absent in ["lib/libtorch_cuda.so", "lib/libcublas.so.13", "lib/readme.txt"] {
        assert!(!view.join(absent).exists(), "{absent}");
    }
    assert!(in_place(&view, None));
}

#[test]
fn a_view_is_not_in_place_when_it_dangles_is_unfinished_or_another_is_wished() {
    let dir = tempfile::tempdir().unwrap();
    let (torch, view) = (package(dir.path(), 0), dir.path().join("view"));
    let wish = torch.join("../torch");
    link(&torch, &view, Some(&wish)).unwrap();
    assert!(in_place(&view, Some(&wish)));
    assert!(!in_place(&view, Some(Path::new("/elsewhere"))));
    fs::remove_file(torch.join("lib/libgomp.so.1")).unwrap();
    assert!(!in_place(&view, None), "a library is gone");
    link(&torch, &view, None).unwrap();
    assert!(in_place(&view, None), "linked again over the old one");
    package(dir.path(), 1);
    assert!(!in_place(&view, None), "upgraded under the links");
    package(dir.path(), 0);
    fs::remove_file(view.join(STAMP)).unwrap();
    assert!(!in_place(&view, None), "killed before the end");
}

#[test]
fn the_version_is_read_from_the_headers() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(version(&package(dir.path(), 3)).as_deref(), Some("2.11.3"));
    assert_eq!(version(dir.path()), None);
}

#[test]
fn a_folder_without_libtorch_cpu_links_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let torch = package(dir.path(), 0);
    fs::remove_file(torch.join("lib/libtorch_cpu.so")).unwrap();
    assert!(libraries(&torch).is_empty());
    assert!(link(&torch, &dir.path().join("view"), None).is_err());
}
