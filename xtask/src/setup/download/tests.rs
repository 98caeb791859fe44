//! The download's promises, with a fake package index.

use std::cell::Cell;

use super::*;

/// sha256 of "one" and "two".
const WHEELS: &[Wheel] = &[
    Wheel {
        package: "one",
        version: "1",
        tag: "any",
        sha256: "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        bytes: 3,
        members: &["one"],
    },
    Wheel {
        package: "two",
        version: "2",
        tag: "any",
        sha256: "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
        bytes: 3,
        members: &["two"],
    },
];
const PLATFORM: Platform = Platform { name: "test", wheels: WHEELS, unpacked_bytes: 6 };

/// Fails on the given call of each kind, counted from 0.
#[derive(Default)]
struct Fake {
    fetched: Cell<usize>,
    unpacked: Cell<usize>,
    fail_fetch: Option<usize>,
    fail_unpack: Option<usize>,
    wrong: bool,
}

impl Source for Fake {
    fn fetch(&self, wheel: &Wheel, _: &Platform, dir: &Path, _: u64) -> Result<()> {
        let call = self.fetched.replace(self.fetched.get() + 1);
        fs::write(dir.join("half.tmp"), "o")?;
        if self.fail_fetch == Some(call) {
            bail!("network gone");
        }
        fs::write(dir.join("x.whl"), if self.wrong { "evil" } else { wheel.package })?;
        Ok(())
    }

    fn unpack(&self, archive: &Path, wheel: &Wheel, dir: &Path) -> Result<()> {
        let call = self.unpacked.replace(self.unpacked.get() + 1);
        if self.fail_unpack == Some(call) {
            bail!("killed");
        }
        fs::copy(archive, dir.join(wheel.package))?;
        Ok(())
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_clean_download_leaves_only_the_result_and_is_not_repeated() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let torch = place(home.path(), &PLATFORM, &fake).unwrap();
    assert_eq!(names(home.path()), ["libtorch-2.11.0-test"]);
    assert_eq!(names(torch.parent().unwrap()), ["one", "two"]);
    place(home.path(), &PLATFORM, &fake).unwrap();
    assert_eq!((fake.fetched.get(), fake.unpacked.get()), (2, 2));
}

#[test]
fn what_was_complete_is_not_fetched_again() {
    let home = tempfile::tempdir().unwrap();
    let broken = Fake { fail_fetch: Some(1), ..Fake::default() };
    assert!(place(home.path(), &PLATFORM, &broken).is_err());
    let fake = Fake::default();
    place(home.path(), &PLATFORM, &fake).unwrap();
    assert_eq!(fake.fetched.get(), 1);
}

#[test]
fn an_unfinished_unpacking_is_done_again_from_the_same_wheels() {
    let home = tempfile::tempdir().unwrap();
    let broken = Fake { fail_unpack: Some(1), ..Fake::default() };
    assert!(place(home.path(), &PLATFORM, &broken).is_err());
    assert!(!home.path().join("libtorch-2.11.0-test").exists());
    let fake = Fake::default();
    let torch = place(home.path(), &PLATFORM, &fake).unwrap();
    assert_eq!((fake.fetched.get(), fake.unpacked.get()), (0, 2));
    assert_eq!(names(torch.parent().unwrap()), ["one", "two"]);
}

#[test]
fn a_file_with_another_hash_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let message = place(home.path(), &PLATFORM, &Fake { wrong: true, ..Fake::default() }).unwrap_err().to_string();
    assert!(message.contains("pinned is"), "{message}");
    place(home.path(), &PLATFORM, &Fake::default()).unwrap();
}
