//! How a pretrained model meets a task: how it reads the task's texts, and which head it gets.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use ssl_data::objective::{Form, ObjectiveConfig};
use ssl_data::task::{Reader, TaskKind};
use ssl_model::config::{BertConfig, ModelConfig, Variant};
use ssl_model::head::{HeadConfig, Pool};
use ssl_model::weights::CONFIG;

use crate::adapt::FinetuneConfig;
use crate::assemble::Shape;
use crate::diagnose;
use crate::outcome::Refusal;

/// The fine-tuning in full, in a checkpoint of an adapted model.
pub(crate) const FINETUNE: &str = "finetune.toml";
/// The task's classes or tags, in their order.
pub(crate) const LABELS: &str = "labels.json";

/// What a checkpoint was adapted to.
pub(crate) struct Adapted {
    /// The fine-tuning.
    pub(crate) config: FinetuneConfig,
    /// The task's classes or tags.
    pub(crate) labels: Vec<String>,
    /// Whether another program adapted it.
    pub(crate) foreign: bool,
}

impl Adapted {
    /// What a folder of transformers with a head was adapted to: the task is the caller's, classes and head are the folder's.
    pub(crate) fn foreign(dir: &Path, task: &FinetuneConfig) -> Result<Self> {
        let path = dir.join(CONFIG);
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let json: Value = serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))?;
        let name = json["architectures"][0].as_str().unwrap_or_default();
        let mut config = task.clone();
        config.adapt.lora = None;
        config.adapt.pool = match name {
            "GPT2ForSequenceClassification" | "LlamaForSequenceClassification" => Some(Pool::Last),
            "BertForSequenceClassification" => Some(Pool::Pooler),
            _ => config.adapt.pool,
        };
        let head = match &config.task.kind {
            TaskKind::Classification(_) => "ForSequenceClassification",
            TaskKind::Tagging(_) => "ForTokenClassification",
            TaskKind::Extraction(_) => "ForQuestionAnswering",
            _ => "",
        };
        if head.is_empty() || !name.ends_with(head) {
            let message = format!("{}: {name} has no head for {}", path.display(), config.task.kind.name());
            return Err(Refusal::input(message, "name a model of the task's kind, or adapt one with ssl finetune"));
        }
        let named = json["id2label"].as_object().cloned().unwrap_or_default();
        let label = |id: usize| named.get(&id.to_string()).and_then(Value::as_str).map(str::to_owned);
        let labels = (0..named.len()).map_while(label).collect();
        Ok(Self { config, labels, foreign: true })
    }

    /// Reads it from a checkpoint, where it was adapted.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FINETUNE);
        if !path.exists() {
            return Ok(None);
        }
        let loaded = diagnose::load::<FinetuneConfig>(&path, &[], |_| Vec::new());
        let config = loaded.with_context(|| format!("in {}", path.display()))?.value;
        let path = dir.join(LABELS);
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let labels = serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))?;
        Ok(Some(Self { config, labels, foreign: false }))
    }

    /// Writes beside an exported model what it was adapted to: for this program, and for transformers where that knows such a head.
    pub(crate) fn write(&self, dir: &Path, model: &ModelConfig) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        // Adapters were merged.
        let mut config = self.config.clone();
        config.adapt.lora = None;
        write(FINETUNE, toml::to_string(&config).context("the fine-tuning cannot be written as TOML")?)?;
        write(LABELS, serde_json::to_string_pretty(&self.labels)? + "\n")?;
        let Some(architecture) = self.architecture(model) else { return Ok(()) };
        let path = dir.join(CONFIG);
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut json: Value = serde_json::from_slice(&text)?;
        json["architectures"] = json!([architecture]);
        let named = |(id, label): (usize, &String)| (id.to_string(), json!(label));
        if !self.labels.is_empty() {
            json["id2label"] = self.labels.iter().enumerate().map(named).collect::<serde_json::Map<_, _>>().into();
            let ids = self.labels.iter().enumerate().map(|(id, label)| (label.clone(), json!(id)));
            json["label2id"] = ids.collect::<serde_json::Map<_, _>>().into();
        }
        json["classifier_dropout"] = 0.0.into();
        write(CONFIG, serde_json::to_string_pretty(&json)? + "\n")
    }

    /// What transformers calls a model with this head, where it has the like.
    fn architecture(&self, model: &ModelConfig) -> Option<String> {
        let bert = |c: &BertConfig| if c.variant == Variant::Bert { Some("Bert") } else { None };
        let name = match (self.head()?, model) {
            (HeadConfig::Tags { .. }, ModelConfig::Bert(c)) => format!("{}ForTokenClassification", bert(c).unwrap_or("Roberta")),
            (HeadConfig::Span {}, ModelConfig::Bert(c)) => format!("{}ForQuestionAnswering", bert(c).unwrap_or("Roberta")),
            (HeadConfig::Classes { pool: Pool::Pooler, .. }, ModelConfig::Bert(c)) => {
                format!("{}ForSequenceClassification", bert(c)?)
            }
            (HeadConfig::Classes { pool: Pool::Last, .. }, ModelConfig::Gpt(_)) => "GPT2ForSequenceClassification".to_owned(),
            (HeadConfig::Classes { pool: Pool::Last, .. }, ModelConfig::Llama(_)) => "LlamaForSequenceClassification".to_owned(),
            _ => return None,
        };
        Some(name)
    }

    /// The head that it has.
    pub(crate) fn head(&self) -> Option<HeadConfig> {
        head(&self.config.task.kind, self.labels.len(), self.config.adapt.pool)
    }
}

/// How a model reads a task's texts.
pub(crate) fn reader(shape: &Shape) -> Reader {
    reader_of(&shape.objective())
}

/// The same by what it was trained for.
pub(crate) fn reader_of(objective: &ObjectiveConfig) -> Reader {
    match objective.form() {
        Form::Both | Form::Texts => Reader::Both,
        Form::Pair => Reader::Pair,
        Form::Causal | Form::Prefix | Form::Words => Reader::Causal,
    }
}

/// The head of a task, of which a model that writes has none.
pub(crate) fn head(kind: &TaskKind, labels: usize, pool: Option<Pool>) -> Option<HeadConfig> {
    let count = u32::try_from(labels).unwrap_or(u32::MAX);
    match kind {
        TaskKind::Classification(_) => Some(HeadConfig::Classes { count, pool: pool.unwrap_or_default() }),
        TaskKind::Tagging(_) => Some(HeadConfig::Tags { count }),
        TaskKind::Extraction(_) => Some(HeadConfig::Span {}),
        _ => None,
    }
}
