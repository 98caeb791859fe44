//! The language of a document, and which are kept.
//!
//! Languages are told by the script and the trigrams of the text's first bytes (the `whatlang` crate; Cavnar and Trenkle 1994), by
//! their codes of ISO 639-3: `eng`, `cmn`, `deu`. Confidence is 1 where the script alone tells.

use serde::{Deserialize, Serialize};

use super::Rule;

/// Bytes of a text that are looked at: more change little and cost time.
const LOOK: usize = 8 << 10;

/// `[data.filter.language]`. Languages are counted in the manifest wherever the section is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LanguageRules {
    /// The languages that are kept, as codes of ISO 639-3; none for all.
    pub keep: Vec<String>,
    /// Documents whose language is less sure are dropped, where `keep` names any.
    pub min_confidence: f64,
}

impl Default for LanguageRules {
    fn default() -> Self {
        Self { keep: Vec::new(), min_confidence: 0.5 }
    }
}

/// The name that stands for a text without a language.
pub(super) const UNKNOWN: &str = "und";

/// The language of a text and how sure it is, from 0 to 1.
#[must_use]
pub fn identify(text: &str) -> (&'static str, f64) {
    let info = whatlang::detect(&text[..text.floor_char_boundary(LOOK)]);
    info.map_or((UNKNOWN, 0.0), |info| (info.lang().code(), info.confidence()))
}

/// Whether the code is one of those that [`identify`] gives.
pub(super) fn is_known(code: &str) -> bool {
    whatlang::Lang::from_code(code).is_some()
}

impl LanguageRules {
    /// The language of a text that is kept.
    pub(super) fn judge(&self, text: &str) -> Result<&'static str, Rule> {
        let (language, confidence) = identify(text);
        if self.keep.is_empty() {
            return Ok(language);
        }
        if !self.keep.iter().any(|keep| keep == language) {
            return Err(Rule::OtherLanguage);
        }
        if confidence < self.min_confidence { Err(Rule::UnsureLanguage) } else { Ok(language) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_and_kept() {
        let english = "The harbour was quiet that morning, and nobody had seen the boat come in.";
        assert_eq!(identify(english).0, "eng");
        assert_eq!(identify("那天早上港口很安静，没有人看见那条船进来。").0, "cmn");
        assert_eq!(identify("12 34").0, UNKNOWN);
        let rules = LanguageRules { keep: vec!["eng".into()], ..LanguageRules::default() };
        assert_eq!(rules.judge(english), Ok("eng"));
        assert_eq!(
            rules.judge("Der Hafen war an jenem Morgen still, und niemand hatte das Boot kommen sehen."),
            Err(Rule::OtherLanguage)
        );
        let sure = LanguageRules { min_confidence: 1.1, ..rules };
        assert_eq!(sure.judge(english), Err(Rule::UnsureLanguage));
        assert_eq!(LanguageRules::default().judge("12 34"), Ok(UNKNOWN));
    }
}
