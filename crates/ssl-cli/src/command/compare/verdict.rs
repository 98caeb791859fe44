//! Which arm a task speaks for, and whether the difference to the next one is more than chance.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use ssl_eval::Estimate;
use ssl_eval::bootstrap::{Bootstrap, Comparison};

use super::Arm;
use super::plan::Plan;
use super::size::Size;
use crate::progress::words;

/// Below this two arms are told apart.
const SURE: f64 = 0.05;

/// The verdicts of all tasks.
pub(super) struct Verdicts(pub(super) Vec<Verdict>);

/// One task's.
pub(super) struct Verdict {
    pub(super) task: String,
    pub(super) metric: String,
    /// Arms with their mean over seeds and what seeds spread by, best first.
    pub(super) ranking: Vec<(String, Estimate)>,
    /// Of the best against the next, on the same examples.
    pub(super) test: Option<Comparison>,
}

/// Weighs every task, and the bits per byte of the arms that have them.
pub(super) fn weigh(arms: &[Arm], plan: &Plan) -> Result<Verdicts> {
    let mut verdicts = Vec::new();
    if let Some(verdict) = of_bits(arms) {
        verdicts.push(verdict);
    }
    for (task, _) in &plan.tasks {
        verdicts.extend(of_task(arms, task)?);
    }
    Ok(Verdicts(verdicts))
}

fn of_bits(arms: &[Arm]) -> Option<Verdict> {
    let scores = arms.iter().filter_map(|arm| Some((arm.planned.arm.clone(), arm.trained["val_bpb"].as_f64()?)));
    let ranking = rank(&scores.collect::<Vec<_>>(), false);
    (!ranking.is_empty()).then(|| Verdict { task: "text".into(), metric: "bits per byte".into(), ranking, test: None })
}

/// The main result of a task on its test split, or on validation where there is none.
pub(super) fn main_result(found: &Value) -> Option<&Value> {
    let results = found["results"].as_array()?;
    results.iter().find(|one| one["split"] == "test").or_else(|| results.first())
}

fn of_task(arms: &[Arm], task: &str) -> Result<Option<Verdict>> {
    let mut scores = Vec::new();
    let mut metric = String::new();
    let mut higher = true;
    for arm in arms {
        let Some((_, Ok(found))) = arm.tasks.iter().find(|(name, _)| name == task) else { continue };
        let Some((result, value)) = main_result(found).and_then(|result| Some((result, result["value"].as_f64()?))) else {
            continue;
        };
        result["metric"].as_str().unwrap_or_default().clone_into(&mut metric);
        higher = result["higher_is_better"].as_bool().unwrap_or(true);
        scores.push((arm.planned.arm.clone(), value));
    }
    let ranking = rank(&scores, higher);
    let test = match &ranking[..] {
        [(first, _), (second, _), ..] => {
            let of = |name: &str| -> Result<Vec<f64>> {
                let own = arms.iter().filter(|arm| arm.planned.arm == name);
                own.map(|arm| each(arm, task, &metric)).collect::<Result<Vec<_>>>().map(|all| all.concat())
            };
            let (ours, theirs) = (of(first)?, of(second)?);
            let paired = !ours.is_empty() && ours.len() == theirs.len();
            let mean = |drawn: &[&f64]| drawn.iter().copied().sum::<f64>() / drawn.len() as f64;
            paired.then(|| Bootstrap::default().compare(&ours, &theirs, mean)).transpose()?
        }
        _ => None,
    };
    Ok((!ranking.is_empty()).then(|| Verdict { task: task.to_owned(), metric, ranking, test }))
}

/// What each example adds to the score that decides, as the fine-tuning wrote it down; empty where the score is no mean.
fn each(arm: &Arm, task: &str, metric: &str) -> Result<Vec<f64>> {
    let dir = arm.planned.dir.join("tasks").join(task);
    let path = [dir.join("said-test.jsonl"), dir.join("said-validation.jsonl")].into_iter().find(|path| path.exists());
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?.get(metric)?.as_f64());
    Ok(lines.collect())
}

/// Means over seeds, best first.
fn rank(scores: &[(String, f64)], higher: bool) -> Vec<(String, Estimate)> {
    let mut names: Vec<String> = scores.iter().map(|(name, _)| name.clone()).collect();
    names.dedup();
    let mean = |name: String| {
        let own: Vec<f64> = scores.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value).collect();
        (name, Estimate::mean(&own))
    };
    let mut ranking: Vec<(String, Estimate)> = names.into_iter().map(mean).collect();
    ranking.sort_by(|(_, a), (_, b)| if higher { b.value.total_cmp(&a.value) } else { a.value.total_cmp(&b.value) });
    ranking
}

impl Verdict {
    /// The answer in plain words, and what it rests on.
    pub(super) fn words(&self) -> String {
        let Self { task, metric, ranking, test } = self;
        let Some((best, score)) = ranking.first() else { return format!("{task}: nothing was measured") };
        let value = words::significant(score.value);
        let Some((next, other)) = ranking.get(1) else { return format!("{task}: only {best} was measured, {metric} {value}") };
        let beside = format!("{metric} {value} beside {} of {next}", words::significant(other.value));
        match test {
            Some(test) if test.p_permutation < SURE => format!(
                "{task}: take {best}. {beside}; on the same examples the difference is {} [{}, {}], p = {}",
                words::significant(test.difference.estimate.value),
                words::significant(test.difference.low),
                words::significant(test.difference.high),
                words::significant(test.p_permutation),
            ),
            Some(test) => format!(
                "{task}: {best} and {next} are not told apart. {beside}; p = {} on the same examples, so that the cheaper one will do",
                words::significant(test.p_permutation),
            ),
            None if score.n > 1 && other.n > 1 => {
                let apart = (score.value - other.value).abs() > 2.0 * score.stderr.hypot(other.stderr);
                let told = if apart { format!("take {best}") } else { format!("{best} and {next} are not told apart") };
                format!("{task}: {told}. {beside}, over {} seeds", score.n)
            }
            None => format!("{task}: {best} is ahead. {beside}; with one seed and no test of it, that may be chance"),
        }
    }

    fn json(&self) -> Value {
        let arm = |(name, score): &(String, Estimate)| json!({ "arm": name, "value": score.value, "stderr": score.stderr, "seeds": score.n });
        json!({
            "task": self.task, "metric": self.metric, "ranking": self.ranking.iter().map(arm).collect::<Vec<_>>(), "test": self.test,
            "words": self.words(),
        })
    }
}

impl Verdicts {
    pub(super) fn json(&self) -> Value {
        self.0.iter().map(Verdict::json).collect()
    }

    /// All verdicts and what is said of sizes, a line each.
    pub(super) fn words(&self, sizes: &[Size]) -> String {
        let lines = self.0.iter().map(Verdict::words).chain(sizes.iter().map(Size::words));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The heads of the table of all arms.
pub(super) fn heads(plan: &Plan) -> Vec<String> {
    let first = ["arm", "seed", "parameters", "steps", "bits a byte", "tokens/s", "peak MiB", "minutes"].map(str::to_owned);
    first.into_iter().chain(plan.tasks.iter().map(|(name, _)| name.clone())).collect()
}

/// Its rows.
pub(super) fn rows(arms: &[Arm], plan: &Plan) -> Vec<Vec<String>> {
    let number = |value: &Value, scale: f64| value.as_f64().map_or_else(|| "-".into(), |value| words::significant(value / scale));
    let row = |arm: &Arm| {
        let trained = &arm.trained;
        let bits = trained["val_bpb"].as_f64().map_or_else(|| "-".into(), |bits| format!("{bits:.3}"));
        let mut row = vec![
            arm.planned.arm.clone(),
            arm.planned.seed.to_string(),
            words::scaled(arm.planned.params as f64),
            trained["steps"].as_u64().map_or_else(|| "-".into(), words::count),
            bits,
            trained["tokens_per_second"].as_f64().map_or_else(|| "-".into(), words::scaled),
            number(&trained["peak_rss_mib"], 1.0),
            number(&trained["wall_seconds"], 60.0),
        ];
        for (name, _) in &plan.tasks {
            let found = arm.tasks.iter().find(|(other, _)| other == name).map(|(_, found)| found);
            row.push(match found {
                Some(Ok(found)) => main_result(found).map_or_else(|| "-".into(), cell),
                _ => "-".into(),
            });
        }
        row
    };
    arms.iter().map(row).collect()
}

/// A score with its bounds.
fn cell(result: &Value) -> String {
    let of = |key: &str| result[key].as_f64().map_or_else(|| "-".into(), |value| format!("{value:.3}"));
    format!("{} [{}, {}]", of("value"), of("low"), of("high"))
}

/// The table as text.
pub(super) fn table(arms: &[Arm], plan: &Plan) -> String {
    let all: Vec<Vec<String>> = std::iter::once(heads(plan)).chain(rows(arms, plan)).collect();
    let wide = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:width$}", width = wide(column)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranking_follows_the_direction_of_the_score() {
        let scores = || vec![("a".to_owned(), 1.0), ("a".to_owned(), 2.0), ("b".to_owned(), 3.0)];
        let names = |higher| rank(&scores(), higher).into_iter().map(|(name, score)| (name, score.value)).collect::<Vec<_>>();
        assert_eq!(names(true), [("b".to_owned(), 3.0), ("a".to_owned(), 1.5)]);
        assert_eq!(names(false)[0].0, "a");
    }

    #[test]
    fn words_say_only_what_the_test_says() {
        let score = |value| Estimate { value, stderr: 0.01, n: 1 };
        let ranking = vec![("bert".to_owned(), score(0.8)), ("gpt".to_owned(), score(0.7))];
        let alone = Verdict { task: "t".into(), metric: "accuracy".into(), ranking, test: None };
        assert!(alone.words().contains("may be chance"), "{}", alone.words());
        let right: Vec<f64> = (0..200).map(|at| f64::from(u8::from(at % 10 > 1))).collect();
        let wrong: Vec<f64> = (0..200).map(|at| f64::from(u8::from(at % 10 > 4))).collect();
        let mean = |drawn: &[&f64]| drawn.iter().copied().sum::<f64>() / drawn.len() as f64;
        let test = |a: &[f64], b: &[f64]| Some(Bootstrap::default().compare(a, b, mean).expect("compares"));
        let sure = Verdict { test: test(&right, &wrong), ..alone };
        assert!(sure.words().starts_with("t: take bert"), "{}", sure.words());
        let unsure = Verdict { test: test(&right, &right), ..sure };
        assert!(unsure.words().contains("are not told apart"), "{}", unsure.words());
    }
}
