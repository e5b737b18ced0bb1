//! What the measuring machine is.

use std::{fs, num::NonZero, process::Command, thread};

use super::output_of;

/// Names and values, for people.
pub(super) fn describe() -> Vec<(String, String)> {
    let cores = thread::available_parallelism().map_or(0, NonZero::get);
    [
        ("Processor", cpu_model()),
        ("Cores for us", cores.to_string()),
        ("Last-level cache", last_level_cache()),
        ("Memory", memory()),
        ("Kernel", output_of(Command::new("uname").arg("-sr")).unwrap_or_default()),
        ("Huge pages", huge_pages()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The three load averages, as text.
pub(super) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| "unknown".to_owned());
    match (field("cpu family"), field("model")) {
        (Some(family), Some(number)) => format!("{model} (family {family}, model {number})"),
        _ => model,
    }
}

fn last_level_cache() -> String {
    let size = |index| {
        fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size"))
            .ok()
            .map(|size| size.trim().to_owned())
    };
    (0..5).rev().find_map(size).unwrap_or_else(|| "unknown".to_owned())
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    let kib: f64 = kib.and_then(|kib| kib.trim().parse().ok()).unwrap_or(0.0);
    format!("{:.1} GiB", kib / f64::from(1 << 20))
}

/// The kernel's choice of the three that it lists, such as `madvise`.
fn huge_pages() -> String {
    let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or_else(|| "unknown".to_owned(), |(chosen, _)| chosen.to_owned())
}
