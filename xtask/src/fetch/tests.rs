//! Resume and refusal, with a made-up network and with curl on a local file.

use std::io::Write;

use anyhow::ensure;

use super::*;

const TEXT: &[u8] = b"to be, or not to be";

fn item() -> Item {
    Item { name: "hamlet.txt".into(), bytes: 19, sha256: "0".repeat(64), from: None }
}

/// The item with the hash that its text really has.
fn right(dir: &Path) -> Item {
    let path = dir.join("origin.txt");
    fs::write(&path, TEXT).unwrap();
    Item { sha256: sha256(&path).unwrap(), ..item() }
}

/// Appends what is missing, up to `end`; then the network is gone.
fn network(end: usize) -> impl Fn(&Path) -> Result<()> {
    move |part| {
        let have = fs::metadata(part).map_or(0, |part| part.len()) as usize;
        let mut file = fs::File::options().append(true).create(true).open(part)?;
        file.write_all(&TEXT[have..end])?;
        ensure!(end == TEXT.len(), "network gone");
        Ok(())
    }
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let item = right(dir.path());
    assert!(fetch(dir.path(), &item, &network(5)).is_err());
    assert!(!dir.path().join("hamlet.txt").exists(), "half a file under the final name");
    assert_eq!(fs::read(dir.path().join("hamlet.txt.part")).unwrap(), &TEXT[..5]);
    let file = fetch(dir.path(), &item, &network(19)).unwrap();
    assert_eq!(fs::read(file).unwrap(), TEXT);
    fetch(dir.path(), &item, &|_| bail!("nothing is left to fetch")).unwrap();
}

#[test]
fn a_wrong_file_is_refused_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let message = fetch(dir.path(), &item(), &network(19)).unwrap_err().to_string();
    assert!(message.contains("expected is"), "{message}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_damaged_file_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let item = right(dir.path());
    fs::write(dir.path().join("hamlet.txt"), "to be").unwrap();
    fs::write(dir.path().join("hamlet.txt.part"), "longer than the whole file is").unwrap();
    let file = fetch(dir.path(), &item, &network(19)).unwrap();
    assert_eq!(fs::read(file).unwrap(), TEXT);
}

#[test]
fn curl_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let item = right(dir.path());
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: no curl");
        return;
    }
    fs::write(dir.path().join("hamlet.txt.part"), &TEXT[..7]).unwrap();
    let address = format!("file://{}", dir.path().join("origin.txt").display());
    let file = fetch(dir.path(), &item, &|part| curl(&address, part, item.bytes)).unwrap();
    assert_eq!(fs::read(file).unwrap(), TEXT);
}

#[test]
fn the_list_of_sets_is_well_formed() {
    for (name, set) in known().unwrap() {
        assert!(set.base.ends_with('/') && !set.files.is_empty() && !set.licence.is_empty(), "{name}");
        for item in set.files {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            assert!(item.name.chars().all(plain) && !item.name.starts_with('.'), "{name}: {}", item.name);
            assert!(
                item.sha256.len() == 64 && item.sha256.chars().all(|c| c.is_ascii_hexdigit()) && item.bytes > 0,
                "{name}: {}",
                item.name
            );
        }
    }
}
