//! Word analogies: a is to b as c is to which word?
//!
//! The answer is the word whose vector has the largest `cos(d, b - a + c)` over vectors of length 1, the three words of the
//! question left out (`3CosAdd`).
//!
//! Source: Mikolov, Yih and Zweig 2013, "Linguistic regularities in continuous space word representations"; the questions and
//! their format are those of word2vec's `questions-words.txt`.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::table::Table;

/// Questions answered at once: a block of scores is this by v.
const BLOCK: usize = 256;

/// A heading and its questions.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// What follows `: `.
    pub name: String,
    /// a, b, c and the answer.
    pub questions: Vec<[String; 4]>,
}

/// How one section was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The section's name.
    pub name: String,
    /// The share answered rightly among questions whose four words are known; `n` counts those, and the error is binomial.
    pub accuracy: Estimate,
    /// Questions asked, known or not.
    pub questions: u64,
}

/// How all were answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Analogy {
    /// Over all questions together.
    pub total: Answered,
    /// Section by section, in the order asked.
    pub sections: Vec<Answered>,
}

/// Reads questions: headings `: NAME`, and four words a line; other lines are passed over.
#[must_use]
pub fn questions(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix(':') {
            sections.push(Section { name: name.trim().into(), questions: Vec::new() });
            continue;
        }
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        if let Ok(question) = <[String; 4]>::try_from(words) {
            if sections.is_empty() {
                sections.push(Section { name: "all".into(), questions: Vec::new() });
            }
            if let Some(section) = sections.last_mut() {
                section.questions.push(question);
            }
        }
    }
    sections
}

/// Answers questions; a word is looked up as written, and in lower case where that is not known.
///
/// # Errors
/// When an operation fails, for want of memory.
pub fn word_analogy(table: &Table<'_>, sections: &[Section]) -> Result<Analogy> {
    let mut answered = Vec::with_capacity(sections.len());
    let (mut asked, mut known, mut right) = (0, 0, 0);
    for section in sections {
        let places = |words: &[String; 4]| -> Option<[usize; 4]> {
            let mut places = [0; 4];
            for (place, word) in places.iter_mut().zip(words) {
                *place = table.find(word)?;
            }
            Some(places)
        };
        let found: Vec<[usize; 4]> = section.questions.iter().filter_map(places).collect();
        let mut hits = 0;
        for block in found.chunks(BLOCK) {
            hits += ssl_torch::guard(|| answers(table, block)).map_err(Error::Tensor)?;
        }
        asked += section.questions.len();
        known += found.len();
        right += hits;
        answered.push(of(&section.name, hits, found.len(), section.questions.len()));
    }
    Ok(Analogy { total: of("all", right, known, asked), sections: answered })
}

fn of(name: &str, right: usize, known: usize, asked: usize) -> Answered {
    let n = known as f64;
    let value = right as f64 / n;
    let accuracy = Estimate { value, stderr: (value * (1.0 - value) / n).sqrt(), n: known as u64 };
    Answered { name: name.into(), accuracy, questions: asked as u64 }
}

/// How many of some questions, at most [`BLOCK`], are answered rightly.
fn answers(table: &Table<'_>, block: &[[usize; 4]]) -> usize {
    let (d, v) = (table.width(), table.words().len());
    let mut sought = Vec::with_capacity(block.len() * d);
    for &[a, b, c, _] in block {
        let (a, b, c) = (table.row(a), table.row(b), table.row(c));
        sought.extend((0..d).map(|k| b[k] - a[k] + c[k]));
    }
    let sought = Tensor::from_slice(&sought).view([block.len() as i64, d as i64]);
    let rows = Tensor::from_slice(table.rows()).view([v as i64, d as i64]);
    let scores = sought.matmul(&rows.tr());
    for (i, question) in block.iter().enumerate() {
        let row = scores.get(i as i64);
        for &place in &question[..3] {
            let _ = row.narrow(0, place as i64, 1).fill_(f64::NEG_INFINITY);
        }
    }
    let best: Vec<i64> = Vec::try_from(scores.argmax(1, false).to_kind(Kind::Int64)).unwrap_or_default();
    best.iter().zip(block).filter(|(best, question)| **best == question[3] as i64).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTIONS: &str = "\
: capitals
Athens Greece Oslo Norway
Oslo Norway Athens Greece
Athens Greece Atlantis Sea
: family
king queen man woman
";

    #[test]
    fn the_three_words_of_a_question_are_never_its_answer() {
        let sections = questions(QUESTIONS);
        assert_eq!(sections.iter().map(|section| section.questions.len()).collect::<Vec<_>>(), [3, 1]);
        // Capital or country on one axis, the land on the others. `king` and `queen` differ in nothing, so b - a + c is c itself.
        let rows: [(&str, [f32; 4]); 8] = [
            ("athens", [1.0, 1.0, 0.0, 0.0]),
            ("greece", [-1.0, 1.0, 0.0, 0.0]),
            ("oslo", [1.0, 0.0, 1.0, 0.0]),
            ("norway", [-1.0, 0.0, 1.0, 0.0]),
            ("king", [0.0, 0.0, 0.0, 1.0]),
            ("queen", [0.0, 0.0, 0.0, 2.0]),
            ("man", [0.3, 0.0, 0.0, 1.0]),
            ("woman", [-0.3, 0.0, 0.0, 1.0]),
        ];
        let words: Vec<String> = rows.iter().map(|(word, _)| (*word).to_owned()).collect();
        let numbers: Vec<f32> = rows.iter().flat_map(|(_, row)| *row).collect();
        let found = word_analogy(&Table::new(&words, &numbers, 4), &sections).expect("answers");
        let [capitals, family] = &found.sections[..] else { panic!("two sections") };
        assert_eq!((capitals.accuracy.value, capitals.accuracy.n, capitals.questions), (1.0, 2, 3));
        assert_eq!((family.accuracy.value, family.accuracy.n), (1.0, 1));
        assert_eq!((found.total.accuracy.n, found.total.questions), (3, 4));
    }

    #[test]
    fn a_wrong_answer_counts_as_one() {
        let words = ["a", "b", "c", "d", "e"].map(String::from);
        // b - a + c = (-1, 1, 1): e is nearer than d.
        let numbers = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0];
        let sections = questions("a b c d\na b c e\nnot a question\n");
        let found = word_analogy(&Table::new(&words, &numbers, 3), &sections).expect("answers");
        assert_eq!((found.total.accuracy.value, found.total.accuracy.n), (0.5, 2));
        assert!((found.total.accuracy.stderr - 0.125_f64.sqrt()).abs() < 1e-12);
    }
}
