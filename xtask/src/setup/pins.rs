//! The pinned version of libtorch and the hashes of the files that carry it.

/// The version that `tch` binds; the two move together.
pub(crate) const VERSION: &str = "2.11.0";

/// One wheel of the package index.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// Package name.
    pub(crate) package: &'static str,
    /// Package version.
    pub(crate) version: &'static str,
    /// pip's platform tag: fixed, so that the hash does not depend on the host's Python.
    pub(crate) tag: &'static str,
    /// Of the wheel file.
    pub(crate) sha256: &'static str,
    /// Size of the wheel file.
    pub(crate) bytes: u64,
    /// What is unpacked of it: members whose path starts with one of these.
    pub(crate) members: &'static [&'static str],
}

/// What one kind of machine needs.
#[derive(Debug)]
pub(crate) struct Platform {
    /// `std::env::consts::{OS, ARCH}`, joined.
    pub(crate) name: &'static str,
    /// The wheels.
    pub(crate) wheels: &'static [Wheel],
    /// Size of what is unpacked.
    pub(crate) unpacked_bytes: u64,
}

/// The Python version whose wheels are pinned. Any: the libraries that we take know nothing of Python.
pub(crate) const PYTHON: &str = "3.11";

/// The machines with pins.
pub(crate) const PLATFORMS: &[Platform] = &[Platform {
    name: "linux-x86_64",
    wheels: &[
        Wheel {
            package: "torch",
            version: VERSION,
            tag: "manylinux_2_28_x86_64",
            sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
            bytes: 530_604_548,
            members: &[
                "torch/include/",
                "torch/lib/libc10.so",
                "torch/lib/libgomp",
                "torch/lib/libtorch.so",
                "torch/lib/libtorch_cpu.so",
                "torch-2.11.0.dist-info/licenses/",
            ],
        },
        // libtorch_cpu of this wheel is linked against these two.
        Wheel {
            package: "nvidia-cuda-runtime",
            version: "13.0.96",
            tag: "manylinux2014_x86_64",
            sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
            bytes: 2_243_632,
            members: &["nvidia/cu13/lib/libcudart.so"],
        },
        Wheel {
            package: "nvidia-cuda-cupti",
            version: "13.0.85",
            tag: "manylinux_2_25_x86_64",
            sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
            bytes: 10_715_597,
            members: &["nvidia/cu13/lib/libcupti.so"],
        },
    ],
    unpacked_bytes: 530_000_000,
}];

impl Platform {
    /// The pins of this machine, if there are any.
    pub(crate) fn here() -> Option<&'static Self> {
        let name = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        PLATFORMS.iter().find(|platform| platform.name == name)
    }

    /// Size of all wheels together.
    pub(crate) fn download_bytes(&self) -> u64 {
        self.wheels.iter().map(|wheel| wheel.bytes).sum()
    }
}
