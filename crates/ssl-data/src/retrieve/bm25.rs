//! Which passages speak of what a question asks, by the words that both have.
//!
//! ```text
//! score(q, d) = sum over terms t of q   ln(1 + (N - n + 1/2) / (n + 1/2)) * f / (f + k1 (1 - b + b |d| / mean |d|))
//! ```
//!
//! with f the times that t stands in d, |d| the terms of d, and n the passages of all N that have t.
//!
//! Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3.3; the weight of a term is
//! Lucene's, which is never negative (Kamphuis et al. 2020, "Which BM25 do you mean?", table 1).

use std::collections::HashMap;

use super::terms::terms;

/// How soon more of a word stops to count, and how much a long passage is held back: Lucene's.
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// An inverted index in memory.
#[derive(Debug, Clone, Default)]
pub struct Bm25 {
    ids: HashMap<Box<str>, u32>,
    /// For each term the passages that have it, and how often.
    postings: Vec<Vec<(u32, u32)>>,
    /// Terms of each passage.
    lengths: Vec<u32>,
    all: u64,
}

impl Bm25 {
    /// Of passages in their order.
    #[must_use]
    pub fn new<'a>(passages: impl IntoIterator<Item = &'a str>) -> Self {
        let mut index = Self::default();
        passages.into_iter().for_each(|text| index.add(text));
        index
    }

    fn add(&mut self, text: &str) {
        let (passage, mut length) = (self.lengths.len() as u32, 0);
        terms(text, &mut |term| {
            length += 1;
            let id = if let Some(&id) = self.ids.get(term) {
                id as usize
            } else {
                self.ids.insert(term.into(), self.postings.len() as u32);
                self.postings.push(Vec::new());
                self.postings.len() - 1
            };
            match self.postings[id].last_mut() {
                Some((last, count)) if *last == passage => *count += 1,
                _ => self.postings[id].push((passage, 1)),
            }
        });
        self.lengths.push(length);
        self.all += u64::from(length);
    }

    /// The `most` passages with the highest scores for a question, best first, of equal ones the first; none that shares no term with it.
    #[must_use]
    pub fn search(&self, question: &str, most: usize) -> Vec<(usize, f64)> {
        let n = self.lengths.len() as f64;
        let mean = (self.all as f64 / n.max(1.0)).max(1.0);
        let mut scores = vec![0.0_f64; self.lengths.len()];
        // A term that is asked for again and again is looked up once.
        let (mut asked, mut places): (Vec<(u32, f64)>, HashMap<u32, usize>) = (Vec::new(), HashMap::new());
        terms(question, &mut |term| {
            if let Some(&id) = self.ids.get(term) {
                let at = *places.entry(id).or_insert_with(|| {
                    asked.push((id, 0.0));
                    asked.len() - 1
                });
                asked[at].1 += 1.0;
            }
        });
        for (id, times) in asked {
            let postings = &self.postings[id as usize];
            let with = postings.len() as f64;
            let weight = (1.0 + (n - with + 0.5) / (with + 0.5)).ln();
            for &(passage, count) in postings {
                let (count, length) = (f64::from(count), f64::from(self.lengths[passage as usize]));
                scores[passage as usize] += times * weight * count / (count + K1 * (1.0 - B + B * length / mean));
            }
        }
        let mut found: Vec<(usize, f64)> = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0).collect();
        let best_first = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if most > 0 && most < found.len() {
            found.select_nth_unstable_by(most - 1, best_first);
        }
        found.truncate(most);
        found.sort_unstable_by(best_first);
        found
    }
}
