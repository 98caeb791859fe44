//! Texts written from others, however long: summaries and translations, window by window at ends of sentences.
//!
//! What is written is a function of a model and a text, so that `ssl summarize`, `ssl translate` and the server give the same.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use ssl_data::document::Origin;
use ssl_data::objective::ObjectiveConfig;
use ssl_data::sentence::{sentences, spaceless};
use ssl_data::task::{Content, Encoder, Example, TaskKind, Template, WritingConfig, WritingMetric};
use ssl_eval::adapted::{Asked, Said};
use ssl_model::Model;
use tch::Device;

use crate::adapted::reader;
use crate::assemble::Opened;
use crate::outcome::Refusal;

/// Windows that are written from at once, where a model takes several.
const TOGETHER: usize = 8;
/// A token has fewer bytes than this, mostly.
const LETTERS_A_TOKEN: usize = 16;

/// How a model writes one text from another.
pub(crate) struct Rewriter {
    encoder: Encoder,
    kind: TaskKind,
    /// The most tokens that are read at once.
    room: usize,
    device: Device,
}

/// A part of a text that is read at once.
#[derive(Debug, Clone, PartialEq)]
struct Window {
    bytes: Range<usize>,
    tokens: usize,
}

/// Takes what was written, and says whether more is wanted.
pub(crate) type Listener<'a> = dyn FnMut(&str) -> bool + 'a;

impl Rewriter {
    /// How `opened` writes.
    ///
    /// # Errors
    /// When it was neither adapted to write texts from others nor trained to translate, or has no tokenizer.
    pub(crate) fn of(opened: &Opened) -> Result<Self> {
        let context = opened.model.context();
        let (kind, length) = match (&opened.adapted, opened.objective()) {
            (Some(adapted), _) if matches!(adapted.config.task.kind, TaskKind::Writing(_)) => {
                let most = adapted.config.adapt.row_tokens.map_or(context, |most| context.min(most as usize));
                (adapted.config.task.kind.clone(), most)
            }
            (None, ObjectiveConfig::Translation(_)) => (writing(u32::try_from(context).unwrap_or(u32::MAX)), context),
            _ => {
                let message = format!("{} does not write one text from another", opened.dir.display());
                return Err(Refusal::usage(
                    message,
                    "adapt it with ssl finetune to the task kind writing, as fixtures/finetune/scitldr.toml does, or train a translation",
                ));
            }
        };
        let encoder = Encoder::new(opened.vocab()?, length, reader(&opened.shape), &kind)?;
        let room = encoder.source_tokens().max(1);
        Ok(Self { encoder, kind, room, device: opened.params.device() })
    }

    /// Translates a text sentence by sentence; breaks between lines and paragraphs stay. Returns how many sentences were written.
    pub(crate) fn translate(
        &self,
        model: &dyn Model,
        text: &str,
        each: &mut Listener<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<usize, ssl_eval::Error> {
        let windows = self.sentences(text)?;
        let mut before: Option<(usize, char)> = None;
        self.write(model, text, &windows, stop, &mut |window, written| {
            let gap = before.map_or(String::new(), |(end, last)| joint(&text[end..window.bytes.start], last, written));
            let last = written.chars().next_back().or(before.map(|before| before.1)).unwrap_or(' ');
            before = Some((window.bytes.end, last));
            each(&gap) && each(written)
        })?;
        Ok(windows.len())
    }

    /// Summarises a text. Of one that is longer than the model reads at once, each window is summarised; what is then still longer is
    /// summarised again. Returns how many windows were read.
    pub(crate) fn summarize(
        &self,
        model: &dyn Model,
        text: &str,
        each: &mut Listener<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<usize, ssl_eval::Error> {
        let most = if let TaskKind::Writing(writing) = &self.kind { writing.max_new_tokens as usize } else { 0 };
        let (mut text, mut read) = (text.to_owned(), 0);
        loop {
            let sentences = self.sentences(&text)?;
            let tokens: usize = sentences.iter().map(|window| window.tokens).sum();
            let windows = self.grouped(sentences);
            read += windows.len();
            // What cannot become too long is told as it comes.
            let surely = windows.len() * (most + 1) <= self.room || windows.len() <= 1;
            let mut joined = String::new();
            self.write(model, &text, &windows, stop, &mut |_, written| {
                let gap = joined.chars().next_back().map_or(String::new(), |last| joint("", last, written));
                joined.push_str(&gap);
                joined.push_str(written);
                !surely || (each(&gap) && each(written))
            })?;
            if surely {
                return Ok(read);
            }
            let left = self.encoder.vocab().encode(&joined)?.len();
            // A model that does not shorten would never end.
            if left <= self.room || left >= tokens {
                each(&joined);
                return Ok(read);
            }
            text = joined;
        }
    }

    /// The sentences of a text, those longer than the model reads at once cut between words.
    fn sentences(&self, text: &str) -> ssl_data::Result<Vec<Window>> {
        let mut windows = Vec::new();
        for sentence in sentences(text) {
            let mut from = sentence.bytes.start;
            while from < sentence.bytes.end {
                let rest = &text[from..sentence.bytes.end];
                // No more of a long sentence than holds what is read at once.
                let mut reach = self.room.saturating_mul(LETTERS_A_TOKEN);
                let ids = loop {
                    let ids = self.encoder.vocab().encode_with_offsets(&rest[..rest.floor_char_boundary(reach)])?;
                    if ids.len() > self.room || reach >= rest.len() {
                        break ids;
                    }
                    reach = reach.saturating_mul(2);
                };
                let (end, tokens) = match ids.get(self.room) {
                    None => (rest.len(), ids.len()),
                    Some((_, bytes)) => {
                        let most = rest.floor_char_boundary(bytes.start);
                        let first = rest.chars().next().map_or(1, char::len_utf8);
                        let space = rest[..most].rfind(char::is_whitespace).filter(|&space| space > 0);
                        (space.unwrap_or(most).max(first), self.room)
                    }
                };
                windows.push(Window { bytes: from..from + end, tokens });
                from += end + rest[end..].len() - rest[end..].trim_start().len();
            }
        }
        Ok(windows)
    }

    /// As many sentences together as the model reads at once.
    fn grouped(&self, sentences: Vec<Window>) -> Vec<Window> {
        let mut windows: Vec<Window> = Vec::new();
        for sentence in sentences {
            match windows.last_mut() {
                // The space between two sentences may be a token.
                Some(window) if window.tokens + 1 + sentence.tokens <= self.room => {
                    window.bytes.end = sentence.bytes.end;
                    window.tokens += 1 + sentence.tokens;
                }
                _ => windows.push(sentence),
            }
        }
        windows
    }

    /// Writes from each window in order, until `each` wants no more.
    fn write(
        &self,
        model: &dyn Model,
        text: &str,
        windows: &[Window],
        stop: &dyn Fn() -> bool,
        each: &mut dyn FnMut(&Window, &str) -> bool,
    ) -> Result<(), ssl_eval::Error> {
        let asked = Asked { model, encoder: &self.encoder, kind: &self.kind, labels: &[], device: self.device };
        let together = if self.encoder.reads_pairs() { TOGETHER } else { 1 };
        for some in windows.chunks(together) {
            let examples: Vec<Example> = some.iter().map(|window| example(&text[window.bytes.clone()])).collect();
            for (window, said) in some.iter().zip(asked.answer(&examples, &|_| stop())?) {
                if let Said::Text(written) = said
                    && !each(window, &written)
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// What stands between two written texts where `gap` stood between what they were written from.
fn joint(gap: &str, last: char, next: &str) -> String {
    if gap.contains('\n') {
        return gap.to_owned();
    }
    let touches = |c: char| spaceless(c) || matches!(c, '。' | '！' | '？' | '；' | '，' | '”' | '」' | '）');
    let close =
        touches(last) && next.chars().next().is_none_or(|next| spaceless(next) || matches!(next, '“' | '「' | '（' | '《'));
    if close || next.is_empty() { String::new() } else { " ".to_owned() }
}

fn writing(max_new_tokens: u32) -> TaskKind {
    TaskKind::Writing(WritingConfig {
        source: Template::from("{source}"),
        target: Template::from("{target}"),
        metric: WritingMetric::Bleu,
        max_new_tokens,
        targets_train: Vec::new(),
        targets_validation: Vec::new(),
        targets_test: Vec::new(),
    })
}

fn example(source: &str) -> Example {
    let content = Content::Writing { source: source.to_owned(), targets: Vec::new() };
    Example { id: String::new(), origin: Origin { path: Path::new("").into(), line: 1, address: None }, content }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_stay_and_sentences_are_joined_as_their_script_does() {
        assert_eq!(joint("\n\n", '.', "Zwei"), "\n\n");
        assert_eq!(joint(" ", '.', "Zwei"), " ");
        assert_eq!(joint(" ", '。', "二"), "");
        assert_eq!(joint("", '。', "“二”"), "");
        assert_eq!(joint("", '。', "Two"), " ");
    }
}
