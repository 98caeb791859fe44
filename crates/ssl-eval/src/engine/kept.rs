//! What was read of finished texts, for prompts that begin alike.

use ssl_model::Cache;

/// A finished text and what was read of it.
struct Kept {
    ids: Vec<u32>,
    cache: Cache,
}

/// Finished texts, those used last at the end.
pub(super) struct Shelf {
    texts: Vec<Kept>,
    room: usize,
    /// Whether texts can only be gone on with as they are, of a model that is a state.
    whole: bool,
}

/// A shorter common beginning costs more to look for than to read.
const SHORTEST: usize = 4;

impl Shelf {
    /// Room for so many tokens.
    pub(super) fn new(room: usize, whole: bool) -> Self {
        Self { texts: Vec::new(), room, whole }
    }

    /// A copy of the longest beginning of `prompt` that has been read, short of its last token, whose answer is yet to come.
    pub(super) fn longest(&mut self, prompt: &[u32]) -> Option<(usize, Cache)> {
        let before = &prompt[..prompt.len().saturating_sub(1)];
        let common = |kept: &Kept| {
            let n = kept.ids.iter().zip(before).take_while(|(a, b)| a == b).count();
            if self.whole && n < kept.ids.len() { 0 } else { n }
        };
        let (at, n) = self.texts.iter().enumerate().map(|(at, kept)| (at, common(kept))).max_by_key(|&(_, n)| n)?;
        if n < SHORTEST {
            return None;
        }
        let used = self.texts.remove(at);
        let cache = if self.whole { used.cache.shared() } else { used.cache.first(n as i64) };
        self.texts.push(used);
        Some((n, cache))
    }

    /// Keeps what was read of a text, in place of what it begins with, and lets go of what was not used for longest.
    pub(super) fn keep(&mut self, ids: Vec<u32>, cache: &Cache) {
        let held = |texts: &[Kept]| texts.iter().any(|kept| kept.ids.starts_with(&ids));
        if ids.len() < SHORTEST || ids.len() > self.room || (!self.whole && held(&self.texts)) {
            return;
        }
        let whole = self.whole;
        self.texts.retain(|kept| if whole { kept.ids != ids } else { !ids.starts_with(&kept.ids) });
        let mut room = self.room - ids.len();
        let mut stay = self.texts.len();
        while stay > 0 && self.texts[stay - 1].ids.len() <= room {
            stay -= 1;
            room -= self.texts[stay].ids.len();
        }
        self.texts.drain(..stay);
        let cache = if self.whole { cache.shared() } else { cache.first(ids.len() as i64) };
        self.texts.push(Kept { ids, cache });
    }

    /// Tokens kept.
    pub(super) fn tokens(&self) -> usize {
        self.texts.iter().map(|kept| kept.ids.len()).sum()
    }
}
