//! Golden folders of `fixtures/golden`.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::PathBuf;

use serde_json::Value;
use ssl_model::Model;
use ssl_model::config::ModelConfig;
use ssl_model::params::{Params, Precision};
use ssl_model::weights::{self, File};
use tch::{Device, Kind, Tensor};

/// The folder of a name.
pub(crate) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

/// Tensors and tolerances.
pub(crate) struct Values {
    pub(crate) file: File,
    notes: Value,
}

impl Values {
    pub(crate) fn open(name: &str) -> Self {
        let notes = std::fs::read(folder(name).join("golden.json")).expect("notes");
        Self {
            file: File::open(&folder(name).join("golden.safetensors")).expect("golden"),
            notes: serde_json::from_slice(&notes).expect("notes"),
        }
    }

    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        self.file.tensor(self.file.find(name).unwrap_or_else(|| panic!("no {name}"))).expect("a tensor")
    }

    pub(crate) fn tolerance(&self, name: &str) -> f64 {
        self.notes["tolerance"][name].as_f64().expect("a tolerance")
    }
}

/// A model beside its values.
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    pub(crate) config: ModelConfig,
    pub(crate) vocab: u32,
    pub(crate) model: Box<dyn Model>,
    pub(crate) params: Params,
    values: Values,
}

impl std::ops::Deref for Golden {
    type Target = Values;

    fn deref(&self) -> &Values {
        &self.values
    }
}

impl Golden {
    pub(crate) fn open(name: &'static str) -> Self {
        let dir = folder(name);
        let (config, vocab) = weights::read_config(&dir.join(weights::CONFIG)).expect("a config");
        let mut params = Params::new(Device::Cpu, Precision::Fp32, None);
        let model = config.build(vocab, &mut params);
        weights::load(&dir.join(weights::WEIGHTS), &params).expect("weights");
        Self { name, config, vocab, model, params, values: Values::open(name) }
    }
}

/// The largest difference of two tensors of one shape.
pub(crate) fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}
