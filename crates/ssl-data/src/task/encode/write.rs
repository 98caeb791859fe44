//! Rows of texts that are written: each token is predicted from those before it, and only what is to be written is learned.

use super::{Encoded, Encoder, Reader};
use crate::error::Result;
use crate::task::{ChatConfig, Role, TaskKind, Template, Turn};

/// How turns are written where neither the configuration nor the vocabulary says it.
const USER: &str = "\n\nUser: {text}";
const ASSISTANT: &str = "\n\nAssistant: {text}";
const SYSTEM: &str = "{text}";
/// Special tokens that begin turns, where a vocabulary has them.
const MARKS: [&str; 3] = ["<|system|>", "<|user|>", "<|assistant|>"];

/// Tokens and whether each is learned.
type Learned = (Vec<u32>, Vec<bool>);

impl Encoder {
    /// A target from its source. The source is cut to what is left beside `most` tokens, whatever the target's length, so that it reads
    /// the same where the target is yet to be written.
    pub(super) fn written(&self, source: &str, target: &str, most: usize) -> Result<Encoded> {
        let before = self.before(source, most)?;
        let mut target = self.vocab.encode(target)?;
        target.push(self.marks.separator);
        let room = if self.reader == Reader::Pair { self.length } else { self.length + 1 - before.len() };
        let cut = target.len().saturating_sub(room) as u32;
        target.truncate(room);
        let n = target.len();
        if self.reader == Reader::Pair {
            let ids: Vec<u32> = [self.marks.pad].into_iter().chain(target.iter().copied()).take(n).collect();
            let plain = Encoded { segments: vec![0; n], spans: vec![(0, 0); n], source: before, ..Encoded::default() };
            return Ok(Encoded { ids, targets: target, weights: vec![1.0; n], cut, ..plain });
        }
        let learned = [vec![false; before.len()], vec![true; n]].concat();
        Ok(Encoded { cut, ..shifted(&[before, target].concat(), &learned) })
    }

    /// Tokens of a source beside `most` that are written in the same row.
    fn beside(&self, most: usize) -> usize {
        let special = 1 + self.marks.to.len();
        // At least half of the row is the source's.
        let room = self.length.saturating_sub(special);
        room - most.min(room / 2)
    }

    /// The most tokens that are read of a source that a text is written from; what is longer loses its end. 0 for other kinds of tasks.
    #[must_use]
    pub fn source_tokens(&self) -> usize {
        match (&self.kind, self.reader) {
            (TaskKind::Writing(_), Reader::Pair) => self.length - 1,
            (TaskKind::Writing(config), _) => self.beside(config.max_new_tokens as usize),
            _ => 0,
        }
    }

    /// What is read before a text is written.
    pub(super) fn before(&self, source: &str, most: usize) -> Result<Vec<u32>> {
        let mut source = self.vocab.encode(source)?;
        if self.reader == Reader::Pair {
            source.truncate(self.length - 1);
            source.push(self.marks.separator);
            return Ok(source);
        }
        source.truncate(self.beside(most));
        Ok([&[self.marks.separator], source.as_slice(), &self.marks.to].concat())
    }

    pub(super) fn turns(&self, config: &ChatConfig, turns: &[Turn]) -> Result<Encoded> {
        let (mut ids, mut learned) = self.said(config, turns)?;
        let fits = self.length + 1;
        let cut = learned.iter().skip(fits).filter(|&&learned| learned).count() as u32;
        ids.truncate(fits);
        learned.truncate(fits);
        Ok(Encoded { cut, ..shifted(&ids, &learned) })
    }

    /// All before the assistant's last turn, and what begins that; a conversation that is too long loses its beginning.
    pub(super) fn asked(&self, config: &ChatConfig, turns: &[Turn]) -> Result<Vec<u32>> {
        let last = turns.iter().rposition(|turn| turn.role == Role::Assistant).unwrap_or(turns.len());
        let (mut ids, _) = self.said(config, &turns[..last])?;
        ids.extend(self.around(config, Role::Assistant)?.0);
        if ids.len() > self.length {
            ids.drain(1..=ids.len() - self.length);
        }
        Ok(ids)
    }

    /// A conversation's tokens; learned is what the assistant says, and the separator after it.
    fn said(&self, config: &ChatConfig, turns: &[Turn]) -> Result<Learned> {
        let (mut ids, mut learned) = (vec![self.marks.separator], vec![false]);
        for turn in turns {
            let (before, after) = self.around(config, turn.role)?;
            ids.extend(before);
            learned.resize(ids.len(), false);
            ids.extend(self.vocab.encode(&turn.text)?);
            ids.extend(after);
            let answer = turn.role == Role::Assistant;
            if answer {
                ids.push(self.marks.separator);
            }
            learned.resize(ids.len(), answer);
        }
        Ok((ids, learned))
    }

    /// What stands around a turn.
    fn around(&self, config: &ChatConfig, role: Role) -> Result<(Vec<u32>, Vec<u32>)> {
        let (given, plain, mark) = match role {
            Role::System => (&config.system, SYSTEM, MARKS[0]),
            Role::User => (&config.user, USER, MARKS[1]),
            Role::Assistant => (&config.assistant, ASSISTANT, MARKS[2]),
        };
        let free = config.system.is_none() && config.user.is_none() && config.assistant.is_none();
        let marked = free && MARKS[1..].iter().all(|mark| self.vocab.special(mark).is_ok());
        if let (true, Ok(mark)) = (marked, self.vocab.special(mark)) {
            let line = self.vocab.encode("\n")?;
            return Ok(([&[mark], line.as_slice()].concat(), line));
        }
        let template = given.clone().unwrap_or_else(|| Template::from(plain));
        let (before, after) = template.around();
        Ok((self.vocab.encode(before)?, self.vocab.encode(after)?))
    }
}

/// Each token as the target of the one before it.
fn shifted(ids: &[u32], learned: &[bool]) -> Encoded {
    let n = ids.len().saturating_sub(1);
    let weights = learned.iter().skip(1).map(|&learned| f32::from(u8::from(learned))).collect();
    Encoded {
        ids: ids[..n].to_vec(),
        segments: vec![0; n],
        targets: ids[ids.len() - n..].to_vec(),
        weights,
        spans: vec![(0, 0); n],
        ..Encoded::default()
    }
}
