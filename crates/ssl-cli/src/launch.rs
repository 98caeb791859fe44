//! Whether this process is one of several that train together: what torchrun, Slurm and Kubernetes leave in the environment.
//!
//! - `RANK` and `WORLD_SIZE` (torchrun, or by hand), with `MASTER_ADDR` and `MASTER_PORT`;
//! - `JOB_COMPLETION_INDEX` of a Kubernetes Indexed Job, where the user adds `WORLD_SIZE` and `MASTER_ADDR`;
//! - `SLURM_PROCID` and `SLURM_STEP_NUM_TASKS`, which only `srun` sets, for each of its tasks. What an allocation leaves in an
//!   interactive shell (`SLURM_NTASKS`, `SLURM_PROCID`) does not join anything.
//!
//! `LOCAL_RANK` (torchrun) or `SLURM_LOCALID` says which GPU of its machine a process takes.
//!
//! One process is no group: a world of 1 trains alone.

use ssl_torch::group::Seat;

use crate::outcome::Refusal;

/// Where ranks meet when nobody says so; PyTorch's.
const PORT: u16 = 29_500;

/// A process among several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    /// Which of how many.
    pub(crate) seat: Seat,
    /// Where they meet.
    pub(crate) host: String,
    /// And at which port.
    pub(crate) port: u16,
    /// Whether this process serves there: rank 0, unless the launcher does.
    pub(crate) serves: bool,
    /// Tells an attempt from those before it at the same place.
    pub(crate) attempt: String,
    /// The network interface to use, where one was named.
    pub(crate) interface: Option<String>,
    /// Which of the processes of its machine, so that each takes a GPU of its own.
    pub(crate) local: usize,
}

impl Launch {
    /// What the environment says; `None` trains alone.
    ///
    /// # Errors
    /// When it says a part only, or what cannot be: every fault at once.
    pub(crate) fn from_environment() -> anyhow::Result<Option<Self>> {
        Self::read(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Option<Self>> {
        let mut read = Read { variable, faults: Vec::new() };
        let launch = read.launch();
        if read.faults.is_empty() {
            return Ok(launch);
        }
        let hint = "give all of RANK, WORLD_SIZE and MASTER_ADDR, or remove RANK and WORLD_SIZE to train in one process";
        Err(Refusal::usage(format!("the environment asks for several processes: {}", read.faults.join("; ")), hint))
    }
}

/// Reads the environment and notes what is wrong.
struct Read<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<String>,
}

impl Read<'_> {
    fn launch(&mut self) -> Option<Launch> {
        let index = "JOB_COMPLETION_INDEX";
        let variable = self.variable;
        let has = |name: &str| variable(name).is_some();
        let (rank, world, slurm) = match () {
            () if has("RANK") => ("RANK", "WORLD_SIZE", false),
            // An index alone counts jobs that are independent of each other.
            () if has(index) && has("WORLD_SIZE") => (index, "WORLD_SIZE", false),
            () if has("SLURM_PROCID") && has("SLURM_STEP_NUM_TASKS") => ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", true),
            () if has("WORLD_SIZE") => ("RANK", "WORLD_SIZE", false),
            () => return None,
        };
        let world = self.number(world)?;
        if world == 1 {
            return None;
        }
        let rank = self.number(rank);
        if world == 0 || rank.is_some_and(|rank| rank >= world) {
            self.faults.push(format!("there is no rank {} of {world}", rank.unwrap_or(0)));
        }
        let port = if has("MASTER_PORT") || !slurm { self.port() } else { Some(self.slurm_port()) };
        let host = match (self.variable)("MASTER_ADDR") {
            None if slurm => self.first_node(),
            None => self.absent("MASTER_ADDR"),
            found => found,
        };
        // torchrun's own agent serves; its workers are all guests, and begin again under another name after a failure.
        let agent = (self.variable)("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True");
        let attempt = (self.variable)("TORCHELASTIC_RESTART_COUNT").unwrap_or_else(|| "0".into());
        let seat = Seat { rank: rank?, world };
        Some(Launch {
            seat,
            host: host?,
            port: port?,
            serves: !agent && seat.rank == 0,
            attempt: format!("ssl/{attempt}"),
            interface: (self.variable)("GLOO_SOCKET_IFNAME"),
            local: ["LOCAL_RANK", "SLURM_LOCALID"].iter().find_map(|name| variable(name)?.parse().ok()).unwrap_or(0),
        })
    }

    fn absent<T>(&mut self, name: &str) -> Option<T> {
        self.faults.push(format!("{name} is not set"));
        None
    }

    fn number(&mut self, name: &str) -> Option<u32> {
        let Some(text) = (self.variable)(name) else { return self.absent(name) };
        let number = text.parse().ok();
        if number.is_none() {
            self.faults.push(format!("{name} is {text:?}, not a number"));
        }
        number
    }

    fn port(&mut self) -> Option<u16> {
        let Some(text) = (self.variable)("MASTER_PORT") else { return Some(PORT) };
        let port = text.parse().ok().filter(|port| *port > 0);
        if port.is_none() {
            self.faults.push(format!("MASTER_PORT is {text:?}, not a port"));
        }
        port
    }

    /// A port that steps of other jobs on the same machine are unlikely to have.
    fn slurm_port(&self) -> u16 {
        let number = |name| (self.variable)(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        15_000 + ((number("SLURM_JOB_ID") + 7 * number("SLURM_STEP_ID")) % 10_000) as u16
    }

    fn first_node(&mut self) -> Option<String> {
        let Some(nodes) = (self.variable)("SLURM_STEP_NODELIST") else {
            return self.absent("neither MASTER_ADDR nor SLURM_STEP_NODELIST");
        };
        Some(first(&nodes))
    }
}

/// The first of a list of machines as Slurm writes it: `node[003-005,9],other` begins with `node003`.
fn first(nodes: &str) -> String {
    match nodes.find(['[', ',']) {
        Some(at) if nodes[at..].starts_with('[') => {
            let inside = &nodes[at + 1..];
            let number = inside.split(['-', ',', ']']).next().unwrap_or("");
            let after = inside.split_once(']').map_or("", |(_, after)| after);
            format!("{}{number}{}", &nodes[..at], after.split(',').next().unwrap_or(""))
        }
        Some(at) => nodes[..at].to_owned(),
        None => nodes.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Launch>, String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Launch::read(&find).map_err(|fault| fault.to_string())
    }

    fn joined(variables: &[(&str, &str)]) -> (u32, u32, String, u16, bool) {
        let Launch { seat, host, port, serves, .. } = read(variables).expect("sound").expect("several");
        (seat.rank, seat.world, host, port, serves)
    }

    #[test]
    fn launchers_are_understood() {
        let torchrun = [
            ("RANK", "1"),
            ("WORLD_SIZE", "4"),
            ("LOCAL_RANK", "1"),
            ("MASTER_ADDR", "localhost"),
            ("MASTER_PORT", "2345"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
        ];
        assert_eq!(joined(&torchrun), (1, 4, "localhost".into(), 2345, false));
        assert_eq!(read(&torchrun).expect("sound").expect("several").attempt, "ssl/2");
        let first = [("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a")];
        assert_eq!(joined(&first), (0, 2, "a".into(), PORT, true), "by hand, rank 0 serves");
        let kubernetes = [("JOB_COMPLETION_INDEX", "3"), ("WORLD_SIZE", "8"), ("MASTER_ADDR", "job-0.svc")];
        assert_eq!(joined(&kubernetes), (3, 8, "job-0.svc".into(), PORT, false));
        let slurm = [
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "16"),
            ("SLURM_STEP_NUM_TASKS", "16"),
            ("SLURM_LOCALID", "0"),
            ("SLURM_JOB_ID", "123456"),
            ("SLURM_STEP_ID", "2"),
            ("SLURM_STEP_NODELIST", "gpu[07-09,12],big1"),
        ];
        assert_eq!(joined(&slurm), (0, 16, "gpu07".into(), 18_470, true));
    }

    #[test]
    fn what_means_no_group_stays_alone() {
        let alone: [&[(&str, &str)]; 7] = [
            &[],
            &[("MASTER_ADDR", "localhost"), ("MASTER_PORT", "29500"), ("LOCAL_RANK", "0")],
            &[("RANK", "0"), ("WORLD_SIZE", "1")],
            &[("JOB_COMPLETION_INDEX", "3")],
            // An interactive shell in an allocation of four tasks, without and with a step of its own.
            &[("SLURM_JOB_ID", "7"), ("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0"), ("SLURM_LOCALID", "0")],
            &[("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1"), ("SLURM_STEP_NODELIST", "n1")],
            &[("SLURM_NTASKS", "4")],
        ];
        for variables in alone {
            assert_eq!(read(variables), Ok(None), "{variables:?}");
        }
    }

    #[test]
    fn half_an_environment_is_refused_with_every_fault() {
        let fault = read(&[("RANK", "x"), ("WORLD_SIZE", "4"), ("MASTER_PORT", "0")]).expect_err("wrong");
        for part in ["RANK is \"x\"", "MASTER_PORT is \"0\"", "MASTER_ADDR is not set"] {
            assert!(fault.contains(part), "{fault}");
        }
        assert!(read(&[("RANK", "1")]).expect_err("half").contains("WORLD_SIZE is not set"));
        assert!(read(&[("WORLD_SIZE", "2")]).expect_err("half").contains("RANK is not set"));
        let beyond = [("RANK", "4"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "a")];
        assert!(read(&beyond).expect_err("beyond").contains("no rank 4 of 4"));
    }

    #[test]
    fn the_first_machine_of_a_list_is_found() {
        for (nodes, host) in [
            ("n1", "n1"),
            ("n1,n2", "n1"),
            ("node[003-005,9],other", "node003"),
            ("node[9]", "node9"),
            ("a-[1,2]-ib,b", "a-1-ib"),
            ("login,node[1-2]", "login"),
        ] {
            assert_eq!(first(nodes), host);
        }
    }
}
