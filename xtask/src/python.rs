//! The Python that has the peers: `$SSL_PYTHON`, else `python3`.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// A call of the Python that can import all of `modules`.
pub(crate) fn with(modules: &[&str]) -> Result<Command> {
    let name = env::var_os("SSL_PYTHON").filter(|name| !name.is_empty()).unwrap_or_else(|| "python3".into());
    let check = format!("import importlib.util as u; [n for n in {modules:?} if u.find_spec(n) is None] and exit(1)");
    let mut command = Command::new(&name);
    command.args(["-c", &check]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !command.status().is_ok_and(|status| status.success()) {
        bail!(
            "{} has no {}: install it (`python3 -m pip install {}`), or set SSL_PYTHON to a Python that has it",
            name.display(),
            modules.join(" and "),
            modules.iter().map(|module| pinned(module)).collect::<Vec<_>>().join(" ")
        );
    }
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    Ok(command)
}

/// The version that the goldens and comparisons were made with.
fn pinned(module: &str) -> &str {
    match module {
        "torch" => "torch==2.11.0",
        "transformers" => "transformers==5.23.0",
        "datatrove" => "datatrove==0.10.1",
        "spacy" => "spacy==3.8.18",
        // datatrove gives it strings, which later versions refuse.
        "xxhash" => "xxhash==3.8.2",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::with;

    #[test]
    fn an_absent_module_is_named_with_the_command_that_installs_it() {
        let message = with(&["no_such_module_at_all"]).unwrap_err().to_string();
        assert!(message.contains("pip install no_such_module_at_all"), "{message}");
    }
}
