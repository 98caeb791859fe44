//! The energy that the processors of the machine draw while a run lives, where the kernel tells it.
//!
//! `/sys/class/powercap/intel-rapl:N/energy_uj` counts microjoules of a processor package, its cores and caches included, and
//! begins anew after `max_energy_range_uj`. Whatever else the machine does at the time is counted with it. Most systems let
//! only root read it, and many virtual machines have none; then nothing is told.
//!
//! Source: Linux kernel documentation, "Power Capping Framework"; David et al. 2010, "RAPL: memory power estimation and
//! capping".

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel shows its counters.
pub(crate) const POWERCAP: &str = "/sys/class/powercap";

/// Counts from when it is opened; it must be read more often than a counter begins anew, which takes many minutes.
#[derive(Debug)]
pub(crate) struct Energy {
    packages: Vec<Package>,
}

#[derive(Debug)]
struct Package {
    counter: PathBuf,
    /// The counter's highest value.
    range: u64,
    last: u64,
    joules: f64,
}

impl Energy {
    /// The counters below `root`, none where there are none to read.
    pub(crate) fn open(root: &Path) -> Self {
        let folders = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut packages: Vec<Package> = folders.filter_map(|folder| Package::open(&folder)).collect();
        packages.sort_by(|a, b| a.counter.cmp(&b.counter));
        Self { packages }
    }

    /// Joules since it was opened; `None` where the machine does not tell.
    pub(crate) fn joules(&mut self) -> Option<f64> {
        self.packages.iter_mut().for_each(Package::read);
        (!self.packages.is_empty()).then(|| self.packages.iter().map(|package| package.joules).sum())
    }
}

impl Package {
    /// A whole package in `folder`: not a part of one, and not the system that packages are parts of.
    fn open(folder: &Path) -> Option<Self> {
        if !fs::read_to_string(folder.join("name")).ok()?.starts_with("package") {
            return None;
        }
        let counter = folder.join("energy_uj");
        let (last, range) = (number(&counter)?, number(&folder.join("max_energy_range_uj"))?);
        Some(Self { counter, range, last, joules: 0.0 })
    }

    fn read(&mut self) {
        let Some(now) = number(&self.counter) else { return };
        // Below what it was, it has begun anew.
        let drawn = if now >= self.last { now - self.last } else { now + self.range.saturating_sub(self.last) };
        self.joules += drawn as f64 / 1e6;
        self.last = now;
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(root: &Path, folder: &str, name: &str, counter: u64) {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).expect("room");
        for (file, text) in
            [("name", name.to_owned()), ("energy_uj", counter.to_string()), ("max_energy_range_uj", "10000000".to_owned())]
        {
            fs::write(folder.join(file), text + "\n").expect("room");
        }
    }

    #[test]
    fn packages_are_summed_and_a_counter_may_begin_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        place(dir.path(), "intel-rapl:0", "package-0", 1_000_000);
        place(dir.path(), "intel-rapl:1", "package-1", 9_500_000);
        // Cores are part of their package, and packages of the system.
        place(dir.path(), "intel-rapl:0:0", "core", 0);
        place(dir.path(), "intel-rapl:2", "psys", 0);
        let mut energy = Energy::open(dir.path());
        assert_eq!(energy.joules(), Some(0.0));
        for (folder, name, counter) in [
            ("intel-rapl:0", "package-0", 3_500_000),
            ("intel-rapl:1", "package-1", 250_000),
            ("intel-rapl:0:0", "core", 2_000_000),
            ("intel-rapl:2", "psys", 9_000_000),
        ] {
            place(dir.path(), folder, name, counter);
        }
        assert_eq!(energy.joules(), Some(2.5 + 0.75));
        // Nothing was drawn since.
        assert_eq!(energy.joules(), Some(3.25));
    }

    #[test]
    fn a_machine_that_does_not_tell_is_no_fault() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(Energy::open(dir.path()).joules(), None);
        assert_eq!(Energy::open(&dir.path().join("absent")).joules(), None);
        fs::create_dir(dir.path().join("intel-rapl:0")).expect("room");
        fs::write(dir.path().join("intel-rapl:0/name"), "package-0\n").expect("room");
        assert_eq!(Energy::open(dir.path()).joules(), None);
    }
}
