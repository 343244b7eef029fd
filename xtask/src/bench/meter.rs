//! What one run costs: wall and processor time, and memory of the whole tree of processes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wait4::Wait4;

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// One run of one candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Seconds.
    pub(super) wall: f64,
    /// Seconds of processor time, of the kernel's too, by it and all that it waited for.
    pub(super) cpu: f64,
    /// MiB: the most that all its processes held at once, as seen every [`INTERVAL`]; at least the peak of each.
    pub(super) peak: f64,
    /// MB that its first process read, from wherever.
    pub(super) read: f64,
}

impl Cost {
    /// The medians of several.
    pub(super) fn median(runs: &[Self]) -> Self {
        let of = |field: fn(&Self) -> f64| median(runs.iter().map(field).collect());
        Self { wall: of(|it| it.wall), cpu: of(|it| it.cpu), peak: of(|it| it.peak), read: of(|it| it.read) }
    }
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The processor time of this thread, in seconds.
pub(super) fn thread_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Runs a command to its end; what it said, where it failed.
pub(super) fn measure(command: &mut Command) -> Result<Cost, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begun = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let id = child.id();
    let done = AtomicBool::new(false);
    let mut said = String::new();
    let (used, wall, read, peak) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut memory = Memory::default();
            while !done.load(Ordering::Relaxed) {
                memory.look(id);
                std::thread::sleep(INTERVAL);
            }
            memory.most()
        });
        let mut text = Vec::new();
        drop(child.stderr.take().expect("a pipe").read_to_end(&mut text));
        said = String::from_utf8_lossy(&text).into_owned();
        let read = ended(id).map_or(f64::NAN, |()| bytes_read(id) as f64 / 1e6);
        let used = child.wait4();
        let wall = begun.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        (used, wall, read, watcher.join().unwrap_or_default())
    });
    let used = used.map_err(|error| error.to_string())?;
    if !used.status.success() {
        let last: Vec<&str> = said.lines().rev().take(3).collect();
        return Err(format!("{}: {}", used.status, last.into_iter().rev().collect::<Vec<_>>().join(" / ")));
    }
    let cpu = used.rusage.utime.as_secs_f64() + used.rusage.stime.as_secs_f64();
    Ok(Cost { wall, cpu, peak: peak as f64 / 1024.0, read })
}

/// Waits until a child is dead, and leaves it to be waited for.
fn ended(id: u32) -> Option<()> {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let pid = Pid::from_raw(id.cast_signed())?;
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).ok().map(drop)
}

/// What a process has read, page cache included.
fn bytes_read(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("rchar: ")?.trim().parse().ok()).unwrap_or_default()
}

/// KiB held by a tree of processes.
#[derive(Default)]
struct Memory {
    /// The peak of each process, as the kernel keeps it: no spike between two looks is lost.
    each: BTreeMap<u32, u64>,
    /// The most at one look.
    together: u64,
}

impl Memory {
    fn look(&mut self, root: u32) {
        let mut queue = vec![root];
        let mut sum = 0;
        while let Some(id) = queue.pop() {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let field = |name: &str| -> u64 {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
            };
            sum += field("VmRSS:");
            let peak = self.each.entry(id).or_default();
            *peak = (*peak).max(field("VmHWM:"));
            // Each thread has its own children.
            for thread in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
                let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                queue.extend(children.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
            }
        }
        self.together = self.together.max(sum);
    }

    fn most(&self) -> u64 {
        self.together.max(self.each.values().copied().max().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_processes_is_measured() {
        let script = "head -c 30000000 /dev/zero | tail -c 20000000 | wc -c >&2";
        let cost = measure(Command::new("sh").args(["-c", script])).unwrap();
        // `tail` keeps what it is to give.
        assert!(cost.peak > 15.0, "{cost:?}");
        assert!(cost.wall > 0.0 && cost.cpu > 0.0, "{cost:?}");
        let read = measure(Command::new("head").args(["-c", "5000000", "/dev/zero"])).unwrap().read;
        assert!(read > 5.0, "{read}");
        assert!(
            measure(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err().contains("why")
        );
    }
}
