//! What a `[data]` section can say that cannot be run.

use super::{DataConfig, Fault, Format, PairsConfig, TokenizerConfig, WindowConfig};

impl DataConfig {
    /// Every fault of meaning, none where the section can be run. Paths begin with `data.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |fine: bool, path: &str, message: String, hint: &str| {
            if !fine {
                faults.push(Fault::new(&format!("data.{path}"), message, hint));
            }
        };
        let nothing = self.paths.is_empty() && self.sources.is_empty();
        check(!nothing, "paths", "there is nothing to read".into(), "name files, folders or globs");
        check(!self.field.is_empty(), "field", "the field has no name".into(), "JSONL corpora commonly use \"text\"");
        if let Some(PairsConfig::Files { targets }) = &self.pairs {
            let none = "there is nothing beside the texts".into();
            check(!targets.is_empty(), "pairs.files.targets", none, "name a file for each file of paths");
        }
        let fraction = self.validation_fraction;
        check(
            (0.0..1.0).contains(&fraction),
            "validation-fraction",
            format!("{fraction} is not a share below 1"),
            "0.05 keeps one document in twenty",
        );
        let repeated = self.clean.max_repeated_lines;
        check(
            (0.0..=1.0).contains(&repeated),
            "clean.max-repeated-lines",
            format!("{repeated} is not a share"),
            "1.0 keeps everything, 0.3 is common",
        );
        let max = self.clean.max_chars.unwrap_or(u64::MAX);
        check(
            max >= self.clean.min_chars,
            "clean.max-chars",
            format!("{max} is less than min-chars"),
            "raise it, or leave it out",
        );
        check(self.limits.expansion > 0, "limits.expansion", "0 refuses every compressed file".into(), "1000 is the default");
        check(
            self.limits.document_bytes > 0,
            "limits.document-bytes",
            "0 refuses every document".into(),
            "67108864 is the default",
        );
        let share = self.limits.bad_share;
        check(
            (0.0..=1.0).contains(&share),
            "limits.bad-share",
            format!("{share} is not a share"),
            "1.0 lets everything pass, 0.01 is the default",
        );
        check(
            self.windows != WindowConfig::Streams { rows: 0 },
            "windows.streams.rows",
            "no stream reads nothing".into(),
            "give train.batch-rows",
        );
        if let WindowConfig::Slide { stride_tokens: 0 } = self.windows {
            check(
                false,
                "windows.slide.stride-tokens",
                "a window that does not move never ends".into(),
                "half of the model's context is common",
            );
        }
        self.tokenizer_faults(&mut faults);
        self.mixture_faults(&mut faults);
        self.curation_faults(&mut faults);
        faults
    }

    /// The faults of the vocabulary.
    fn tokenizer_faults(&self, faults: &mut Vec<Fault>) {
        let mut check = |fine: bool, path: &str, message: String, hint: &str| {
            if !fine {
                faults.push(Fault::new(&format!("data.{path}"), message, hint));
            }
        };
        if let TokenizerConfig::ByteBpe(vocab) | TokenizerConfig::Wordpiece(vocab) | TokenizerConfig::Unigram(vocab) =
            &self.tokenizer
        {
            let name = match self.tokenizer {
                TokenizerConfig::ByteBpe(_) => "byte-bpe",
                TokenizerConfig::Wordpiece(_) => "wordpiece",
                _ => "unigram",
            };
            // 256 bytes and the separator are the least that byte-level pairs can stand on.
            let least = if name == "byte-bpe" { 257 } else { 8 };
            let tokens = vocab.vocab_tokens;
            check(
                (least..=1 << 20).contains(&tokens),
                &format!("tokenizer.{name}.vocab-tokens"),
                format!("{tokens} is outside {least}..=1048576"),
                "4096 suits a few megabytes of text, 32768 a few gigabytes",
            );
            check(
                vocab.sample_bytes > 0,
                &format!("tokenizer.{name}.sample-bytes"),
                "there is nothing to train on".into(),
                "16777216 is the default",
            );
            check(
                vocab.memory_mib.is_none_or(|memory| memory > 0),
                &format!("tokenizer.{name}.memory-mib"),
                "0 MiB hold no word".into(),
                "256 is the default",
            );
        }
        if let TokenizerConfig::Word(words) = &self.tokenizer {
            check(
                words.min_count > 0,
                "tokenizer.word.min-count",
                "0 keeps words that were never met".into(),
                "1 keeps every word, 5 is the default",
            );
            check(
                words.max_words.is_none_or(|most| (1..=1 << 21).contains(&most)),
                "tokenizer.word.max-words",
                format!("{} is outside 1..=2097152", words.max_words.unwrap_or(0)),
                "leave it out to keep every word",
            );
        }
    }

    /// The faults of the sections that judge documents.
    fn curation_faults(&self, faults: &mut Vec<Fault>) {
        if !self.filter.is_empty() && self.pairs.is_some() {
            let message = "its rules are about one text, not about two side by side";
            faults.push(Fault::new("data.filter", message, "filter the texts before they are paired"));
        }
        if self.pairs.is_some() && !matches!(self.format, Format::Auto | Format::Text | Format::Markdown | Format::Jsonl) {
            let message = "pairs are lines, or fields of JSONL";
            faults.push(Fault::new("data.format", message, "leave it out, or bring the texts into lines first"));
        }
        if self.dedup.cuts() && self.pairs.is_some() {
            let message = "passages are cut out of one text, not out of two side by side";
            faults.push(Fault::new("data.dedup", message, "cut them before the texts are paired"));
        }
        self.filter.validate(faults);
        self.dedup.validate(faults);
        self.scrub.iter().for_each(|rules| rules.validate(faults));
        self.decontaminate.iter().for_each(|rules| rules.validate(faults));
    }
}
