//! Which part of a shared preparation this process does: `--task 3/16`, or by what a scheduler sets.

use ssl_data::prepare::Task;

/// What a scheduler calls the number of a process: Slurm's arrays, then Kubernetes' indexed jobs.
const SLURM: &str = "SLURM_ARRAY_TASK_ID";
const KUBERNETES: &str = "JOB_COMPLETION_INDEX";

/// The task that `text` names: `I/N` from 0; `auto/N` for the number that the scheduler gave; `auto` where it gives N too.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Task, String> {
    let number = |text: &str, of: &str| text.parse::<u32>().map_err(|_| format!("{of} is {text:?}, which is no number"));
    let set = |name: &str| variable(name).map(|text| number(&text, name)).transpose();
    let (index, count) = text.split_once('/').map_or((text, None), |(index, count)| (index, Some(count)));
    let count = count.map(|count| number(count, "the count behind the slash")).transpose()?;
    let (index, count) = if index == "auto" {
        if let Some(id) = set(SLURM)? {
            // An array may begin anywhere and leave numbers out.
            let (least, step) = (set("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0), set("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1));
            (id.saturating_sub(least) / step, count.or(set("SLURM_ARRAY_TASK_COUNT")?))
        } else if let Some(id) = set(KUBERNETES)? {
            (id, count)
        } else {
            return Err(format!("neither {SLURM} nor {KUBERNETES} is set"));
        }
    } else {
        (number(index, "the task")?, count)
    };
    let count = count.ok_or("how many tasks there are is not said, such as by auto/16")?;
    Task::new(index, count).ok_or_else(|| format!("there is no task {index} of {count}; they count from 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(text: &str, variables: &[(&str, &str)]) -> Result<(u32, u32), String> {
        let variable = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        parse(text, variable).map(|task| (task.index, task.count))
    }

    #[test]
    fn tasks_are_named_or_found() {
        assert_eq!(task("3/16", &[]), Ok((3, 16)));
        let slurm =
            [(SLURM, "12"), ("SLURM_ARRAY_TASK_COUNT", "5"), ("SLURM_ARRAY_TASK_MIN", "4"), ("SLURM_ARRAY_TASK_STEP", "2")];
        assert_eq!(task("auto", &slurm), Ok((4, 5)));
        assert_eq!(task("auto/8", &[(KUBERNETES, "7")]), Ok((7, 8)));
        for (text, variables) in [
            ("16/16", &[][..]),
            ("3", &[]),
            ("x/2", &[]),
            ("1/x", &[]),
            ("-1/2", &[]),
            ("auto", &[]),
            ("auto", &[(KUBERNETES, "1")]),
            ("auto/1", &[(KUBERNETES, "1")]),
            ("auto/9", &[(SLURM, "one")]),
        ] {
            assert!(task(text, variables).is_err(), "{text}");
        }
    }
}
