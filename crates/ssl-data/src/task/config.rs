//! The `[task]` section of a run: where labelled examples lie, and how a record becomes one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Template;

mod choices;
mod faults;

pub use choices::Choices;

/// Which examples a model is adapted to and judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TaskConfig {
    /// What the task is called in reports.
    #[serde(default = "default_name")]
    pub name: String,
    /// Files that are learned from; relative to the working directory, as all paths.
    #[serde(default)]
    pub train: Vec<PathBuf>,
    /// Files that decide when to stop; where there are none, a share of the training examples does.
    #[serde(default)]
    pub validation: Vec<PathBuf>,
    /// Files that scores are reported on.
    #[serde(default)]
    pub test: Vec<PathBuf>,
    /// What the files hold.
    #[serde(default)]
    pub format: TaskFormat,
    /// The names of a table's columns, where its first row does not hold them; of those of `CoNLL`, which are called by number else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Whether a table's cells may stand in quotes; when absent, those between commas may and those between tabs may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotes: Option<bool>,
    /// The share of training examples kept for validation where `validation` is empty, by a hash of their texts: equal texts never stand on
    /// two sides, nor do the questions of one passage.
    #[serde(default = "default_validation")]
    pub validation_share: f64,
    /// The same for the test.
    #[serde(default)]
    pub test_share: f64,
    /// The most training examples; which, depends on the seed alone, and they keep their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_train: Option<u64>,
    /// The most examples of validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_validation: Option<u64>,
    /// The most examples of the test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_test: Option<u64>,
    /// Seeds what is kept for validation and test, and which examples are taken of too many.
    #[serde(default)]
    pub seed: u64,
    /// Loading fails when a larger share of a split's records is left out.
    #[serde(default = "default_bad_share")]
    pub bad_share: f64,
    /// So many records left out are never too many.
    #[serde(default = "default_bad_records")]
    pub bad_records: u64,
    /// What is asked.
    pub kind: TaskKind,
}

/// What the files of a task hold, under any compression.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskFormat {
    /// By the end of the name: `.jsonl`, `.csv`, `.tsv`, `.conll` (`.conllu`, `.annotated`, `.bio`), `.json` for question sets; others
    /// hold lines.
    #[default]
    Auto,
    /// One JSON object a line.
    Jsonl,
    /// Values parted by commas.
    Csv,
    /// Values parted by tabs.
    Tsv,
    /// A word a line with its columns, an empty line between sentences; the columns are lists.
    Conll,
    /// The JSON of `SQuAD`; a record is a question with the fields of its own, and its passage as `context`.
    Squad,
    /// A text a line, as `text`.
    Lines,
}

/// What a task asks, and which fields hold it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// The class of a text, or of two.
    Classification(ClassificationConfig),
    /// The tag of each word.
    Tagging(TaggingConfig),
    /// Where a passage answers a question.
    Extraction(ExtractionConfig),
    /// A text from another.
    Writing(WritingConfig),
    /// What an assistant says.
    Chat(ChatConfig),
    /// Which of two answers is better.
    Preference(PreferenceConfig),
    /// Which of several ways to go on is right.
    Choice(ChoiceConfig),
    /// What fills a gap.
    Cloze(ClozeConfig),
    /// Which of two texts is more likely.
    MinimalPairs(MinimalPairsConfig),
}

impl TaskKind {
    /// Its name in configurations.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Classification(_) => "classification",
            Self::Tagging(_) => "tagging",
            Self::Extraction(_) => "extraction",
            Self::Writing(_) => "writing",
            Self::Chat(_) => "chat",
            Self::Preference(_) => "preference",
            Self::Choice(_) => "choice",
            Self::Cloze(_) => "cloze",
            Self::MinimalPairs(_) => "minimal-pairs",
        }
    }

    /// Whether a model answers with a head of the task's own, rather than by writing or by likelihood.
    #[must_use]
    pub fn has_head(&self) -> bool {
        matches!(self, Self::Classification(_) | Self::Tagging(_) | Self::Extraction(_))
    }

    /// Whether examples bear labels out of a list.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        matches!(self, Self::Classification(_) | Self::Tagging(_))
    }
}

/// Texts of classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClassificationConfig {
    /// The text, such as `"{sentence}"`.
    pub text: Template,
    /// The text beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Template>,
    /// The field of the class.
    #[serde(default = "default_label")]
    pub label: String,
    /// The classes in their order, as `label-names` calls them; others are left out. When empty, those of the training examples, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// What classes are called, by what stands in the field; others keep the name they have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub label_names: BTreeMap<String, String>,
    /// What each class counts in the loss.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// What is read of a text longer than a row.
    #[serde(default)]
    pub long: Long,
    /// How far windows over a long text move on.
    #[serde(default = "default_stride")]
    pub stride_tokens: u32,
    /// The word that stands for each class where it is judged by likelihood.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub words: BTreeMap<String, String>,
    /// The text with `{text}` (and `{second}`) in it and the class's `{word}`, such as `"{text} It was {word}."`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Template>,
}

/// What each class counts in the loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// Every example counts 1.
    #[default]
    None,
    /// `n / (k n_c)` for class c of k: every class counts the same. Source: King and Zeng 2001, in scikit-learn's form.
    Balanced,
}

/// What is read of a text longer than a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Long {
    /// Its beginning.
    #[default]
    First,
    /// All of it, in windows whose predictions are averaged.
    Mean,
}

/// Sentences of tagged words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TaggingConfig {
    /// The column or field of the words.
    pub token: String,
    /// The column or field of their tags.
    pub tag: String,
    /// Whether tags mark spans (`B-place`, `I-place`, `O`), which are scored as wholes, or each stands for itself.
    #[serde(default)]
    pub spans: bool,
}

/// Questions to passages. The fields are those of `SQuAD`: `question`, `context`, `answers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExtractionConfig {
    /// How far windows over a long passage move on. The default is BERT's.
    #[serde(default = "default_stride")]
    pub stride_tokens: u32,
    /// The most tokens of an answer. The default is BERT's.
    #[serde(default = "default_answer")]
    pub max_answer_tokens: u32,
    /// Whether there are questions that the passage does not answer; else they are left out.
    #[serde(default)]
    pub unanswerable: bool,
    /// Whose official score is computed.
    #[serde(default)]
    pub language: Language,
}

/// Which official score answers are judged by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// That of `SQuAD`, over words.
    #[default]
    En,
    /// CMRC's, over characters.
    Zh,
}

/// Texts written from others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WritingConfig {
    /// What is read; a field that holds a list gives its elements with spaces between.
    pub source: Template,
    /// What is written; a field that holds a list gives a reference for each element.
    pub target: Template,
    /// How what is written is judged.
    pub metric: WritingMetric,
    /// The most tokens that are written.
    #[serde(default = "default_written")]
    pub max_new_tokens: u32,
    /// Files of which line n is written from line n of the files of `train`: the fields are then `source` and `target`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets_train: Vec<PathBuf>,
    /// The same of `validation`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets_validation: Vec<PathBuf>,
    /// The same of `test`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets_test: Vec<PathBuf>,
}

/// How a written text is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WritingMetric {
    /// Papineni et al. 2002.
    Bleu,
    /// Popović 2015.
    Chrf,
    /// Lin 2004.
    Rouge,
}

/// Conversations: a list of objects with `role` (`system`, `user`, `assistant`) and `content`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChatConfig {
    /// The field of the list.
    #[serde(default = "default_messages")]
    pub messages: String,
    /// How a turn of the system is written, around `{text}`. When the three are left out and the vocabulary has the special tokens
    /// `<|user|>` and `<|assistant|>`, turns are written as those, a line end, the text and a line end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Template>,
    /// How a turn of the user is written; `"\n\nUser: {text}"` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Template>,
    /// How a turn of the assistant is written; `"\n\nAssistant: {text}"` when absent. What stands before `{text}` is not learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assistant: Option<Template>,
}

/// Answers of which one is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PreferenceConfig {
    /// What both answer.
    pub prompt: Template,
    /// The better answer.
    pub chosen: Template,
    /// The other.
    pub rejected: Template,
}

/// Ways to go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChoiceConfig {
    /// What comes before.
    pub prompt: Template,
    /// The name of a field that holds a list, or a template for each way.
    pub choices: Choices,
    /// The field of the right one: its text, its letter (from A), or its number.
    pub answer: String,
    /// The number of the first choice, where `answer` holds numbers.
    #[serde(default)]
    pub first_number: u64,
    /// What a choice's likelihood is divided by.
    #[serde(default)]
    pub normalise: Normalise,
}

/// What a choice's likelihood is divided by, so that short ones have no advantage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// Its bytes, which does not depend on the vocabulary.
    #[default]
    Bytes,
    /// Its tokens.
    Tokens,
    /// Nothing.
    None,
}

/// Texts with a gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClozeConfig {
    /// The text; without a gap in it, the gap is at its end.
    pub text: Template,
    /// What fills the gap.
    pub answer: Template,
    /// What marks the gap.
    #[serde(default = "default_gap")]
    pub gap: String,
}

/// Two texts, the first of which should be the more likely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MinimalPairsConfig {
    /// The better one.
    pub good: Template,
    /// The other.
    pub bad: Template,
}

fn default_name() -> String {
    "task".into()
}

const fn default_validation() -> f64 {
    0.1
}

const fn default_bad_share() -> f64 {
    0.01
}

const fn default_bad_records() -> u64 {
    10
}

fn default_label() -> String {
    "label".into()
}

const fn default_stride() -> u32 {
    128
}

const fn default_answer() -> u32 {
    30
}

const fn default_written() -> u32 {
    128
}

fn default_messages() -> String {
    "messages".into()
}

fn default_gap() -> String {
    "____".into()
}
