//! The verbs, a file each.

pub(crate) mod answer;
pub(crate) mod bench;
mod bleu;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod embed;
pub(crate) mod eval;
pub(crate) mod fill;
pub(crate) mod finetune;
pub(crate) mod forward;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod prepare;
pub(crate) mod quality;
pub(crate) mod rewrite;
pub(crate) mod train;
