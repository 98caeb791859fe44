//! Prompts with examples: some solved examples stand before the one that is asked.
//!
//! Which ones is a function of the seed and of the asked example's index, so that it does not change with the order of the
//! questions, their number, or an evaluation that goes on after a stop.
//!
//! Source: Brown et al. 2020, "Language models are few-shot learners", section 2.4 (k examples drawn from the training set, one or
//! two newlines between them); draws without repetition: Floyd, in Bentley 1987, "A sample of brilliance".

use ssl_data::rng::Rng;
use ssl_data::vocab::Vocab;

use crate::error::Result;

/// What stands between two examples.
pub const BETWEEN: &str = "\n\n";
/// Keeps these draws apart from other uses of a seed.
const STREAM: u64 = 0x7368_6f74_0000_0000;

/// How many examples are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FewShot {
    /// Examples in a prompt; fewer where there are fewer.
    pub shots: usize,
    /// The seed of the draws.
    pub seed: u64,
}

/// A prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The examples, and what is asked.
    pub text: String,
    /// The examples that it holds.
    pub used: usize,
}

impl FewShot {
    /// Which of `examples` examples stand before the asked one, number `index`, in their order; without `own`, the asked example's
    /// place among them where it is one of them.
    #[must_use]
    pub fn draw(&self, examples: usize, index: u64, own: Option<usize>) -> Vec<usize> {
        let own = own.filter(|&own| own < examples);
        let others = examples - usize::from(own.is_some());
        let wanted = self.shots.min(others);
        let mut rng = Rng::at(self.seed, STREAM, index);
        let mut drawn: Vec<usize> = Vec::with_capacity(wanted);
        for last in others - wanted..others {
            let one = rng.below(last as u64 + 1) as usize;
            drawn.push(if drawn.contains(&one) { last } else { one });
        }
        // A late draw is more often a late example: the order is drawn too.
        for last in (1..drawn.len()).rev() {
            drawn.swap(last, rng.below(last as u64 + 1) as usize);
        }
        drawn.into_iter().map(|at| at + usize::from(own.is_some_and(|own| at >= own))).collect()
    }

    /// The prompt for `asked`, number `index`, of at most `room` tokens: as many of the examples drawn as fit, the last ones.
    ///
    /// What is asked stays whole even where it alone is longer.
    ///
    /// # Errors
    /// When a text cannot be encoded.
    pub fn prompt(
        &self,
        vocab: &Vocab,
        examples: &[&str],
        asked: &str,
        index: u64,
        own: Option<usize>,
        room: usize,
    ) -> Result<Prompt> {
        let mut shown: Vec<&str> = self.draw(examples.len(), index, own).into_iter().map(|at| examples[at]).collect();
        shown.push(asked);
        let (mut cut, last) = (0, shown.len() - 1);
        while cut < last && vocab.encode(&shown[cut..].join(BETWEEN))?.len() > room {
            cut += 1;
        }
        Ok(Prompt { text: shown[cut..].join(BETWEEN), used: last - cut })
    }
}

#[cfg(test)]
mod tests {
    use ssl_data::config::TokenizerConfig;

    use super::*;

    #[test]
    fn draws_are_distinct_never_the_asked_one_and_a_function_of_seed_and_index() {
        let shot = FewShot { shots: 4, seed: 3 };
        let mut counts = [0_u32; 9];
        for index in 0..4500 {
            let drawn = shot.draw(9, index, Some(5));
            assert_eq!(drawn, shot.draw(9, index, Some(5)));
            let mut sorted = drawn.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert!(sorted.len() == 4 && !sorted.contains(&5) && sorted[3] < 9, "{drawn:?}");
            // The first place of a prompt holds each example as often.
            counts[drawn[0]] += 1;
        }
        counts[5] = 4500 / 8;
        // The standard deviation of a count is 22.
        assert!(counts.iter().all(|count| count.abs_diff(4500 / 8) < 120), "{counts:?}");
        assert_ne!(shot.draw(9, 1, None), FewShot { seed: 4, ..shot }.draw(9, 1, None));
        let mut all = shot.draw(3, 0, None);
        all.sort_unstable();
        assert_eq!((all, shot.draw(1, 0, Some(0))), (vec![0, 1, 2], vec![]));
    }

    #[test]
    fn whole_examples_go_from_the_front_until_the_prompt_fits() {
        let vocab = Vocab::train(["abcdefgh \n".to_owned()].into_iter(), &TokenizerConfig::Char {}, &[]).unwrap();
        let examples = ["aaaa", "bbbb", "cccc"];
        let shot = FewShot { shots: 3, seed: 0 };
        let prompt = |room| shot.prompt(&vocab, &examples, "dd", 0, None, room).unwrap();
        let whole = prompt(100);
        assert_eq!((whole.text.len(), whole.used), (3 * 6 + 2, 3));
        assert!(whole.text.ends_with("\n\ndd"));
        // 20 letters, less 6 for each example that goes.
        for (room, used) in [(20, 3), (19, 2), (14, 2), (13, 1), (8, 1), (7, 0), (1, 0)] {
            let found = prompt(room);
            assert_eq!(found.used, used, "{room}");
            assert!(whole.text.ends_with(&found.text));
        }
    }
}
