//! What a `[task]` section can say that cannot be run.

use std::collections::BTreeSet;

use super::{ClassificationConfig, TaskConfig, TaskFormat, TaskKind, Template, WritingConfig};
use crate::config::Fault;

impl TaskConfig {
    /// Every fault of meaning, none where the task can be loaded. Paths begin with `task.`.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Faults(Vec::new());
        let nothing = self.train.is_empty() && self.validation.is_empty() && self.test.is_empty();
        faults.check(!nothing, "train", "there is nothing to read", "name the files with examples");
        faults.check(!self.name.trim().is_empty(), "name", "the task has no name", "leave it out, or say what the scores are of");
        for (key, share) in [("validation-share", self.validation_share), ("test-share", self.test_share)] {
            let message = format!("{share} is not a share below 1");
            faults.check((0.0..1.0).contains(&share), key, message, "0.1 keeps one example in ten, 0 none");
        }
        let both = self.validation_share + self.test_share;
        let message = format!("validation and test would take {both} of the training examples");
        faults.check(both < 1.0 || !(both.is_finite()), "test-share", message, "0.1 of each is common");
        let message = format!("{} is not a share", self.bad_share);
        faults.check((0.0..=1.0).contains(&self.bad_share), "bad-share", message, "1 lets everything pass, 0.01 is the default");
        for (key, most) in [("max-train", self.max_train), ("max-validation", self.max_validation), ("max-test", self.max_test)] {
            faults.check(most != Some(0), key, "no example would be left", "leave it out to take all");
        }
        let names: BTreeSet<&String> = self.columns.iter().collect();
        faults.check(names.len() == self.columns.len(), "columns", "a name stands twice", "give each column a name of its own");
        self.kind_faults(&mut faults);
        faults.0
    }

    fn kind_faults(&self, faults: &mut Faults) {
        let kind = self.kind.name();
        let positive = |faults: &mut Faults, key: &str, number: u32, hint: &str| {
            faults.check(number > 0, &format!("kind.{kind}.{key}"), "0 is too few", hint);
        };
        match &self.kind {
            TaskKind::Classification(config) => {
                faults.classification(config);
                positive(faults, "stride-tokens", config.stride_tokens, "128 is the default");
            }
            TaskKind::Tagging(config) => {
                faults.field(kind, "token", &config.token);
                faults.field(kind, "tag", &config.tag);
                let differ = config.token != config.tag;
                faults.check(
                    differ,
                    "kind.tagging.tag",
                    "it is the column of the words",
                    "in CoNLL-2003 it is \"4\", in WNUT \"2\"",
                );
            }
            TaskKind::Extraction(config) => {
                positive(faults, "stride-tokens", config.stride_tokens, "128 is BERT's");
                positive(faults, "max-answer-tokens", config.max_answer_tokens, "30 is BERT's");
            }
            TaskKind::Writing(config) => {
                faults.template(kind, "source", &config.source);
                faults.template(kind, "target", &config.target);
                positive(faults, "max-new-tokens", config.max_new_tokens, "128 is the default");
                self.target_faults(config, faults);
            }
            TaskKind::Chat(config) => {
                faults.field(kind, "messages", &config.messages);
                let turns = [("system", &config.system), ("user", &config.user), ("assistant", &config.assistant)];
                for (key, template) in turns.into_iter().filter_map(|(key, template)| Some((key, template.as_ref()?))) {
                    faults.template(kind, key, template);
                    let fields: Vec<&str> = template.fields().collect();
                    let fine = fields == ["text"] || template.fault().is_some();
                    let hint = "write what stands around the turn, such as \"\\n\\nUser: {text}\"";
                    faults.check(fine, &format!("kind.chat.{key}"), "it does not hold {text} once, and nothing else", hint);
                }
                let user = config.user.is_some() == config.assistant.is_some();
                faults.check(user, "kind.chat.user", "of user and assistant one alone is given", "give both, or neither");
            }
            TaskKind::Preference(config) => {
                faults.template(kind, "prompt", &config.prompt);
                faults.template(kind, "chosen", &config.chosen);
                faults.template(kind, "rejected", &config.rejected);
                let differ = config.chosen != config.rejected;
                faults.check(differ, "kind.preference.rejected", "it is the chosen one", "name the field of the worse answer");
            }
            TaskKind::Choice(config) => {
                faults.template(kind, "prompt", &config.prompt);
                faults.field(kind, "answer", &config.answer);
                config.choices.templates().iter().for_each(|template| faults.template(kind, "choices", template));
                let some = !config.choices.templates().is_empty();
                faults.check(
                    some,
                    "kind.choice.choices",
                    "there is nothing to choose from",
                    "name a field with a list, or two templates",
                );
            }
            TaskKind::Cloze(config) => {
                faults.template(kind, "text", &config.text);
                faults.template(kind, "answer", &config.answer);
                faults.check(!config.gap.is_empty(), "kind.cloze.gap", "nothing marks the gap", "\"____\" is the default");
            }
            TaskKind::MinimalPairs(config) => {
                faults.template(kind, "good", &config.good);
                faults.template(kind, "bad", &config.bad);
                let differ = config.good != config.bad;
                faults.check(differ, "kind.minimal-pairs.bad", "it is the good one", "name the field of the worse text");
            }
        }
    }

    fn target_faults(&self, config: &WritingConfig, faults: &mut Faults) {
        let sides = [
            ("train", &self.train, &config.targets_train),
            ("validation", &self.validation, &config.targets_validation),
            ("test", &self.test, &config.targets_test),
        ];
        let any = sides.iter().any(|(.., targets)| !targets.is_empty());
        for (split, sources, targets) in sides {
            let message = format!("{} files for the {} of task.{split}", targets.len(), sources.len());
            let fine = !any || sources.len() == targets.len();
            faults.check(
                fine,
                &format!("kind.writing.targets-{split}"),
                message,
                "name a file of targets for each file of sources",
            );
        }
        let lines = !any || matches!(self.format, TaskFormat::Auto | TaskFormat::Lines);
        faults.check(lines, "format", "targets of their own belong to lines", "leave it out");
    }
}

struct Faults(Vec<Fault>);

impl Faults {
    fn check(&mut self, fine: bool, path: &str, message: impl Into<String>, hint: &str) {
        if !fine {
            self.0.push(Fault::new(&format!("task.{path}"), message, hint));
        }
    }

    fn template(&mut self, kind: &str, key: &str, template: &Template) {
        let path = format!("kind.{kind}.{key}");
        if let Some(fault) = template.fault() {
            self.check(false, &path, fault, "write {field} for a field, {{ and }} for braces");
        }
        self.check(!template.as_str().is_empty(), &path, "it gives no text", "write {field} for what a field holds");
    }

    fn field(&mut self, kind: &str, key: &str, name: &str) {
        let path = format!("kind.{kind}.{key}");
        self.check(!name.is_empty(), &path, "the field has no name", "give the name of a field or a column");
        self.check(!name.contains(['{', '}']), &path, "it is a field's name and no template", "leave the braces out");
    }

    fn classification(&mut self, config: &ClassificationConfig) {
        let kind = "classification";
        self.template(kind, "text", &config.text);
        config.second.iter().for_each(|second| self.template(kind, "second", second));
        self.field(kind, "label", &config.label);
        let distinct: BTreeSet<&String> = config.labels.iter().collect();
        let twice = distinct.len() == config.labels.len();
        self.check(twice, "kind.classification.labels", "a class stands twice", "name each once");
        let one = config.labels.len() == 1;
        self.check(!one, "kind.classification.labels", "one class leaves nothing to tell apart", "name two, or leave it out");
        if let Some(word) = config.words.keys().find(|word| !distinct.is_empty() && !distinct.contains(word)) {
            let message = format!("{word:?} is none of labels");
            self.check(false, "kind.classification.words", message, "give a word for each class");
        }
        if let Some(label) = config.labels.iter().find(|label| !config.words.is_empty() && !config.words.contains_key(*label)) {
            let message = format!("there is none for {label:?}");
            self.check(false, "kind.classification.words", message, "give a word for each class");
        }
        let both = config.words.is_empty() == config.prompt.is_none();
        self.check(both, "kind.classification.prompt", "of words and prompt one alone is given", "give both, or neither");
        if let Some(prompt) = &config.prompt {
            self.template(kind, "prompt", prompt);
            let known = prompt.fields().all(|field| matches!(field, "text" | "second" | "word"));
            let fine = prompt.fault().is_some() || known && prompt.fields().filter(|field| *field == "word").count() == 1;
            let message = "it does not hold {word} once, beside {text} and {second}";
            self.check(fine, "kind.classification.prompt", message, "such as \"{text} It was {word}.\"");
        }
    }
}
