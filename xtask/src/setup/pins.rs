//! The pinned version of libtorch and the hashes of the files that carry it.

/// The version that `tch` binds; the two move together.
pub(crate) const VERSION: &str = "2.11.0";

/// The Python version whose wheels are pinned. Any would do: the libraries that we take know nothing of Python.
pub(crate) const PYTHON: &str = "3.11";

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
    /// Size of what is unpacked, rounded up.
    pub(crate) unpacked_bytes: u64,
}

/// The machines with pins. On Linux, `libtorch_cpu` is linked against CUDA's run time and profiler, which need no GPU.
pub(crate) const PLATFORMS: &[Platform] = &[
    Platform {
        name: "linux-x86_64",
        wheels: &[
            Wheel {
                package: "torch",
                version: VERSION,
                tag: "manylinux_2_28_x86_64",
                sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
                bytes: 530_604_548,
                members: TORCH_LINUX,
            },
            Wheel {
                package: CUDART.0,
                version: CUDART.1,
                tag: "manylinux2014_x86_64",
                sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
                bytes: 2_243_632,
                members: CUDART.2,
            },
            Wheel {
                package: CUPTI.0,
                version: CUPTI.1,
                tag: "manylinux_2_25_x86_64",
                sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
                bytes: 10_715_597,
                members: CUPTI.2,
            },
        ],
        unpacked_bytes: 530_000_000,
    },
    Platform {
        name: "linux-aarch64",
        wheels: &[
            Wheel {
                package: "torch",
                version: VERSION,
                tag: "manylinux_2_28_aarch64",
                sha256: "d91aac77f24082809d2c5a93f52a5f085032740a1ebc9252a7b052ef5a4fddc6",
                bytes: 419_718_178,
                members: TORCH_LINUX,
            },
            Wheel {
                package: CUDART.0,
                version: CUDART.1,
                tag: "manylinux2014_aarch64",
                sha256: "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55",
                bytes: 2_261_060,
                members: CUDART.2,
            },
            Wheel {
                package: CUPTI.0,
                version: CUPTI.1,
                tag: "manylinux_2_25_aarch64",
                sha256: "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151",
                bytes: 10_310_827,
                members: CUPTI.2,
            },
        ],
        unpacked_bytes: 350_000_000,
    },
    Platform {
        name: "macos-aarch64",
        wheels: &[Wheel {
            package: "torch",
            version: VERSION,
            tag: "macosx_11_0_arm64",
            sha256: "7b6a60d48062809f58595509c524b88e6ddec3ebe25833d6462eeab81e5f2ce4",
            bytes: 80_529_712,
            members: &[
                "torch/include/",
                "torch/lib/libc10.",
                "torch/lib/libomp.",
                "torch/lib/libtorch.",
                "torch/lib/libtorch_cpu.",
                LICENCES,
            ],
        }],
        unpacked_bytes: 270_000_000,
    },
];

const LICENCES: &str = "torch-2.11.0.dist-info/licenses/";

/// The last three are what the Arm build computes with.
const TORCH_LINUX: &[&str] = &[
    "torch/include/",
    "torch/lib/libc10.",
    "torch/lib/libgomp",
    "torch/lib/libtorch.",
    "torch/lib/libtorch_cpu.",
    LICENCES,
    "torch/lib/libarm_compute",
    "torch/lib/libgfortran",
    "torch/lib/libnvpl_",
];

const CUDART: (&str, &str, &[&str]) = ("nvidia-cuda-runtime", "13.0.96", &["nvidia/cu13/lib/libcudart.so"]);

const CUPTI: (&str, &str, &[&str]) = ("nvidia-cuda-cupti", "13.0.85", &["nvidia/cu13/lib/libcupti.so"]);

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
