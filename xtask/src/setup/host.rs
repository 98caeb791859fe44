//! libtorch that the machine already has.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::output::say;
use crate::setup::{pins, view};

/// Names the folder of the `torch` package without the seconds that importing it takes.
const WHERE: &str =
    "import importlib.util as u, os; s = u.find_spec('torch'); print(os.path.dirname(s.origin) if s and s.origin else '')";

/// The folder that the user asks for in `$LIBTORCH`. Cargo hands us the link folder itself under that name, which is no wish.
pub(crate) fn wish(view: &Path) -> Option<PathBuf> {
    let given = PathBuf::from(env::var_os("LIBTORCH")?);
    (!given.as_os_str().is_empty() && given != view).then_some(given)
}

/// A libtorch of the pinned version: `$LIBTORCH`, else the one of `python3`. Says why a candidate is passed over.
pub(crate) fn find(wish: Option<&Path>) -> Option<PathBuf> {
    let given = wish.map(|dir| ("LIBTORCH", dir.to_path_buf()));
    given.into_iter().chain(python().map(|dir| ("python3", dir))).find_map(|(origin, dir)| match fault(&dir) {
        None => Some(dir),
        Some(fault) => {
            say(format_args!("passing over the libtorch of {origin}, {}: {fault}", dir.display()));
            None
        }
    })
}

/// What makes the libtorch at `dir` useless to us.
fn fault(dir: &Path) -> Option<String> {
    match view::version(dir) {
        None => Some("no include/torch headers there".into()),
        Some(version) if version != pins::VERSION => Some(format!("version {version}, needed is {}", pins::VERSION)),
        Some(_) if view::libraries(dir).is_empty() => Some("no libtorch_cpu there".into()),
        Some(_) => None,
    }
}

/// The `torch` package that `python3` would import.
fn python() -> Option<PathBuf> {
    // From the root folder, so that no `torch` folder in the current one is taken for the package.
    let output = Command::new("python3").args(["-c", WHERE]).current_dir("/").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let dir = text.trim();
    (output.status.success() && !dir.is_empty()).then(|| PathBuf::from(dir))
}
