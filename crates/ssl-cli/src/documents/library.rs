//! An index and a model that answers from it, as a server keeps them.

use std::path::Path;

use anyhow::Result;
use ssl_data::retrieve::Index;
use ssl_model::Model;

use super::{Answered, Answering, Asked, Calibration, learned_for};
use crate::assemble::Opened;
use crate::outcome::Refusal;

/// Passages that are read for an answer.
const PASSAGES: u16 = 5;

/// Documents that questions are answered from.
pub(crate) struct Library {
    index: Index,
    answering: Answering,
    calibration: Calibration,
}

impl Library {
    /// Opens the index in `dir` for `opened`, with what it was calibrated to.
    ///
    /// # Errors
    /// When there is no whole index, it holds nothing, or the model does not answer.
    pub(crate) fn open(dir: &Path, opened: &Opened) -> Result<Self> {
        let (index, answering) = (Index::open(dir)?, Answering::of(opened)?);
        if index.is_empty() {
            let hint = "fill it with ssl answer --documents PATH --index DIR";
            return Err(Refusal::input(format!("the index {} holds no passage", dir.display()), hint));
        }
        let calibration = Calibration::load(dir, &learned_for(opened, None, PASSAGES)?)?.unwrap_or_default();
        Ok(Self { index, answering, calibration })
    }

    /// What keeps it from knowing what the model's probabilities mean, where something does.
    pub(crate) fn uncalibrated(&self, dir: &Path) -> Option<&'static str> {
        match (self.calibration.learned.is_some(), Calibration::exists(dir)) {
            (true, _) => None,
            (false, true) => Some("was calibrated for another model or number of passages"),
            (false, false) => Some("is not calibrated"),
        }
    }

    /// Documents that it holds.
    pub(crate) fn documents(&self) -> usize {
        self.index.documents()
    }

    /// Answers a question, or says that it is not sure. `stop` ends it.
    ///
    /// # Errors
    /// When an operation fails.
    pub(crate) fn answer(
        &self,
        model: &dyn Model,
        question: String,
        stop: &dyn Fn(f64) -> bool,
    ) -> Result<Answered, ssl_eval::Error> {
        let found = self.index.search(&question, usize::from(PASSAGES));
        self.answering.answer(model, &self.index, &Asked { question, found }, &self.calibration, stop)
    }
}
