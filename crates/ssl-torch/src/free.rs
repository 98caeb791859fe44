//! How much memory there is for the taking.

use std::fs;
use std::path::{Path, PathBuf};

use tch::Device;

use crate::ffi;

/// Bytes that a process can still take on a device; `None` where the system does not say.
///
/// On the host that is what the kernel has available, or what is left of the tightest limit of a control group that the
/// process is in; files that are only cached count as free in both. Swap counts for nothing.
#[must_use]
pub fn bytes(device: Device) -> Option<u64> {
    match device {
        Device::Cuda(n) => {
            let mut free = 0;
            // SAFETY: writes one number to a place that lives through the call; faults come back as a code.
            ffi::check(unsafe { ffi::ssl_free_on_cuda(n as i64, &raw mut free) }).ok()?;
            u64::try_from(free).ok()
        }
        _ => host(Path::new("/")),
    }
}

/// The same of the host whose `/proc` and `/sys` lie below `root`.
fn host(root: &Path) -> Option<u64> {
    let available = field(&root.join("proc/meminfo"), "MemAvailable:").map(|kib| kib * 1024);
    groups(root).iter().filter_map(|(group, names)| left(group, names)).chain(available).min()
}

/// The files in which a version of control groups says its limit, its use, and where its cached files are counted.
type Names = [&'static str; 4];
const V2: Names = ["memory.max", "memory.current", "memory.stat", "inactive_file"];
const V1: Names = ["memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"];

/// The groups that the process is in, each with those above it.
fn groups(root: &Path) -> Vec<(PathBuf, Names)> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (base, names) = match controllers {
            "" => ("sys/fs/cgroup", V2),
            _ if controllers.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", V1),
            _ => continue,
        };
        // Inside a container the path may be the host's, which is not there; the root then is the container's own group.
        let inside = Path::new(path.trim_start_matches('/'));
        found.extend(inside.ancestors().map(|group| (root.join(base).join(group), names)));
    }
    found
}

/// What is left of a group's limit; `None` where it has none.
fn left(group: &Path, [limit, used, stat, cached]: &Names) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let used = number(used)?.saturating_sub(field(&group.join(stat), cached).unwrap_or(0));
    Some(number(limit)?.saturating_sub(used))
}

/// The number after `key` at the start of a line.
fn field(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("room");
            fs::write(path, text).expect("room");
        }
        dir
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal: 4000 kB\nMemFree: 100 kB\nMemAvailable:   3000 kB\n");

    #[test]
    fn without_limits_the_kernel_says_what_is_available() {
        assert_eq!(host(machine(&[MEMINFO]).path()), Some(3000 * 1024));
        assert_eq!(host(machine(&[]).path()), None);
    }

    #[test]
    fn the_tightest_limit_of_any_group_above_counts_and_cached_files_are_free() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", "5\n"),
            ("sys/fs/cgroup/outer/memory.max", "1000000\n"),
            ("sys/fs/cgroup/outer/memory.current", "700000\n"),
            ("sys/fs/cgroup/outer/memory.stat", "anon 1\nactive_file 7\ninactive_file 200000\n"),
        ];
        assert_eq!(host(machine(&files).path()), Some(500_000));
    }

    #[test]
    fn the_older_groups_and_a_container_are_read_too() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "800000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "900000\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 300000\n"),
        ];
        assert_eq!(host(machine(&files).path()), Some(200_000));
    }

    #[test]
    fn this_machine_says_something() {
        assert!(bytes(Device::Cpu).is_some_and(|free| free > 0));
    }
}
