//! What is wrong with a model's table: the checks that several models share.

use ssl_data::config::Fault;

use crate::layer::ContrastiveConfig;

/// The faults found so far, under the path of one table.
pub(crate) struct Check {
    path: String,
    faults: Vec<Fault>,
}

/// The largest size of anything, so that products of two fit a tensor's extent.
const LARGEST: u32 = 1 << 20;

/// The largest table of angles: a million positions of a usual head, 256 MB.
const ANGLES: u64 = 1 << 26;

impl Check {
    pub(crate) fn new(name: &str) -> Self {
        Self { path: format!("model.{name}"), faults: Vec::new() }
    }

    pub(crate) fn faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Checks a table inside the table.
    pub(crate) fn inside(&mut self, name: &str, checks: impl FnOnce(&mut Self)) {
        let outer = self.path.clone();
        self.path = format!("{outer}.{name}");
        checks(self);
        self.path = outer;
    }

    /// Where `fine` does not hold, `why` says what is wrong with `key` and what to do.
    pub(crate) fn that(&mut self, fine: bool, key: &str, why: impl FnOnce() -> (String, String)) {
        if !fine {
            let (message, hint) = why();
            self.faults.push(Fault::new(&format!("{}.{key}", self.path), message, hint));
        }
    }

    pub(crate) fn sizes(&mut self, sizes: &[(&str, u32)]) {
        for (key, size) in sizes {
            self.that((1..=LARGEST).contains(size), key, || (format!("{size} is outside 1..={LARGEST}"), "give a size".into()));
        }
    }

    /// A probability that leaves something.
    pub(crate) fn share(&mut self, key: &str, share: f64, hint: &str) {
        self.that((0.0..1.0).contains(&share), key, || (format!("{share} is not a share below 1"), hint.into()));
    }

    /// Heads of one width.
    pub(crate) fn heads(&mut self, key: &str, heads: u32, width: u32) {
        self.sizes(&[(key, heads)]);
        let even = heads == 0 || width.is_multiple_of(heads);
        self.that(even, key, || {
            let divides = |heads: &u32| width.is_multiple_of(*heads);
            let near = (1..=width.min(LARGEST)).filter(divides).min_by_key(|near| near.abs_diff(heads)).unwrap_or(1);
            (format!("{width} / {heads} leaves {}", width % heads), format!("use {near} heads of {}", width / near))
        });
    }

    /// Heads whose features are turned in pairs, by angles from a table over all positions.
    pub(crate) fn pairs(&mut self, key: &str, heads: u32, width: u32, context: u32) {
        let features = width / heads.max(1);
        let fine = u64::from(features) * u64::from(context) <= ANGLES;
        let why = || (format!("{context} positions of {features} angles are too many"), "read fewer tokens at once".into());
        self.that(fine, "context-tokens", why);
        self.that(heads == 0 || features.is_multiple_of(2), key, || {
            (format!("heads of {features} features cannot be turned in pairs"), "make width / heads even".into())
        });
    }

    /// What is added to a variance.
    pub(crate) fn eps(&mut self, eps: f64) {
        let fine = eps.is_finite() && eps >= 0.0;
        self.that(fine, "norm-eps", || (format!("{eps} cannot be added to a variance"), "1e-5 is common".into()));
    }

    pub(crate) fn contrastive(&mut self, config: &ContrastiveConfig) {
        let temperature = config.temperature;
        let fine = temperature.is_finite() && temperature > 0.0;
        let why = || (format!("{temperature} divides nothing"), "0.05 is SimCSE's".into());
        self.that(fine, "contrastive.temperature", why);
    }
}
