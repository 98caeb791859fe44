//! Which part of a shared preparation this process does: `--task 3/16`, or by what a scheduler sets.

use ssl_data::prepare::Task;

/// What a scheduler calls the number of a process: Slurm's arrays, Slurm's `srun`, then Kubernetes' indexed jobs.
const ARRAY: &str = "SLURM_ARRAY_TASK_ID";
const SRUN: &str = "SLURM_PROCID";
const KUBERNETES: &str = "JOB_COMPLETION_INDEX";

/// The task that `text` names: `I/N` from 0; `auto/N` for the number that the scheduler gave, as it is; `auto` where it gives N too.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Task, String> {
    let number = |text: &str, of: &str| text.parse::<u32>().map_err(|_| format!("{of} is {text:?}, which is no number"));
    let set = |name: &str| variable(name).map(|text| number(&text, name)).transpose();
    let (index, count) = text.split_once('/').map_or((text, None), |(index, count)| (index, Some(count)));
    let count = count.map(|count| number(count, "the count behind the slash")).transpose()?;
    let (index, count) = if index == "auto" {
        if let Some(id) = set(ARRAY)? {
            match count {
                // Whichever part of the array runs, such as those jobs alone that failed.
                Some(count) => (id, Some(count)),
                None => whole_array(id, set)?,
            }
        } else if let Some(id) = set(SRUN)? {
            let step = set("SLURM_STEP_NUM_TASKS")?;
            (id, count.or(step).or(set("SLURM_NTASKS")?))
        } else if let Some(id) = set(KUBERNETES)? {
            (id, count)
        } else {
            return Err(format!("none of {ARRAY}, {SRUN} and {KUBERNETES} is set"));
        }
    } else {
        (number(index, "the task")?, count)
    };
    let count = count.ok_or("how many tasks there are is not said, such as by auto/16")?;
    Task::new(index, count).ok_or_else(|| format!("there is no task {index} of {count}; they count from 0"))
}

/// The task `id` of an array that runs as a whole. It may begin anywhere and count by steps; of a list such as 3,7 nobody can tell
/// which task a number is, nor how many there are beside it.
fn whole_array(id: u32, set: impl Fn(&str) -> Result<Option<u32>, String>) -> Result<(u32, Option<u32>), String> {
    let count = set("SLURM_ARRAY_TASK_COUNT")?;
    let (least, step) = (set("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0), set("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1));
    let most = set("SLURM_ARRAY_TASK_MAX")?.unwrap_or(id);
    let even =
        id >= least && (id - least).is_multiple_of(step) && count.is_none_or(|count| most.saturating_sub(least) / step < count);
    if !even {
        return Err("the array leaves numbers out; say how many tasks there are in all, such as by auto/16".into());
    }
    Ok(((id - least) / step, count))
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
        let slurm = [
            (ARRAY, "12"),
            ("SLURM_ARRAY_TASK_COUNT", "5"),
            ("SLURM_ARRAY_TASK_MIN", "4"),
            ("SLURM_ARRAY_TASK_MAX", "12"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            // What `sbatch` leaves in every job.
            (SRUN, "0"),
            ("SLURM_NTASKS", "1"),
        ];
        assert_eq!(task("auto", &slurm), Ok((4, 5)));
        assert_eq!(task("auto/8", &[(KUBERNETES, "7")]), Ok((7, 8)));
        assert_eq!(task("auto", &[(SRUN, "3"), ("SLURM_NTASKS", "4")]), Ok((3, 4)));
        assert_eq!(task("auto", &[(SRUN, "1"), ("SLURM_NTASKS", "16"), ("SLURM_STEP_NUM_TASKS", "2")]), Ok((1, 2)));
        for (text, variables) in [
            ("16/16", &[][..]),
            ("3", &[]),
            ("x/2", &[]),
            ("1/x", &[]),
            ("-1/2", &[]),
            ("auto", &[]),
            ("auto", &[(KUBERNETES, "1")]),
            ("auto/1", &[(KUBERNETES, "1")]),
            ("auto/9", &[(ARRAY, "one")]),
        ] {
            assert!(task(text, variables).is_err(), "{text}");
        }
    }

    #[test]
    fn a_part_of_an_array_keeps_its_numbers() {
        // What `--array=3,7` sets in its second job.
        let list = [
            (ARRAY, "7"),
            ("SLURM_ARRAY_TASK_COUNT", "2"),
            ("SLURM_ARRAY_TASK_MIN", "3"),
            ("SLURM_ARRAY_TASK_MAX", "7"),
            ("SLURM_ARRAY_TASK_STEP", "1"),
        ];
        assert!(task("auto", &list).is_err_and(|fault| fault.contains("auto/16")));
        assert_eq!(task("auto/16", &list), Ok((7, 16)));
        // Its first job does not take itself for a whole array of two either.
        let first = [(ARRAY, "3"), list[1], list[2], list[3], list[4]];
        assert!(task("auto", &first).is_err());
        assert_eq!(task("auto/16", &first), Ok((3, 16)));
    }
}
