//! What Prometheus may know, in its text format (version 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sizes of one isolate's heap, in bytes; what V8 didn't say is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeapSample {
    pub(crate) thread: String,
    pub(crate) used: Option<u64>,
    pub(crate) total: Option<u64>,
    pub(crate) limit: Option<u64>,
    pub(crate) external: Option<u64>,
    pub(crate) spaces: Vec<SpaceSample>,
}

/// Sizes of one of V8's heap spaces, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpaceSample {
    pub(crate) space: String,
    pub(crate) used: u64,
    pub(crate) size: u64,
    pub(crate) available: u64,
}

/// All heaps at one time.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) taken: Instant,
    pub(crate) heaps: Vec<HeapSample>,
}

/// What the server counts.
#[derive(Default)]
pub(crate) struct Counts(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    /// By route and status.
    requests: BTreeMap<(&'static str, u16), u64>,
    /// By method and result.
    dumps: BTreeMap<(&'static str, &'static str), u64>,
    pauses: u64,
    pause_sum: Duration,
    pause_last: Duration,
    pause_max: Duration,
    sample: Option<Sample>,
}

/// What is known of the process itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vitals {
    pub(crate) is_up: bool,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) is_dumping: bool,
}

impl Counts {
    pub(crate) fn request(&self, route: &'static str, status: u16) {
        *self.counted().requests.entry((route, status)).or_default() += 1;
    }

    pub(crate) fn dump(&self, method: &'static str, result: &'static str, pause: Option<Duration>) {
        let mut counted = self.counted();
        *counted.dumps.entry((method, result)).or_default() += 1;
        if let Some(pause) = pause {
            counted.pauses += 1;
            counted.pause_sum += pause;
            counted.pause_last = pause;
            counted.pause_max = counted.pause_max.max(pause);
        }
    }

    pub(crate) fn sampled(&self, sample: Sample) {
        self.counted().sample = Some(sample);
    }

    /// How long ago the heaps were looked at.
    pub(crate) fn sample_age(&self, now: Instant) -> Option<Duration> {
        self.counted().sample.as_ref().map(|s| now.saturating_duration_since(s.taken))
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole text.
    pub(crate) fn text(&self, vitals: &Vitals, now: Instant) -> String {
        let counted = self.counted();
        let mut text = Text::default();
        text.family("twinheap_target_up", "gauge", "Whether the process lives.");
        text.line("", &[], u64::from(vitals.is_up));
        if let Some(rss) = vitals.rss_bytes {
            text.family("process_resident_memory_bytes", "gauge", "Resident memory of the process.");
            text.line("", &[], rss);
        }
        if let Some(sample) = &counted.sample {
            let age = now.saturating_duration_since(sample.taken).as_secs_f64();
            text.family("twinheap_sample_age_seconds", "gauge", "How old the sizes of the heaps are.");
            text.line("", &[], age);
            heaps(&mut text, &sample.heaps);
        }
        text.family("twinheap_dump_running", "gauge", "Whether a dump is being taken.");
        text.line("", &[], u64::from(vitals.is_dumping));
        text.family("twinheap_dumps_total", "counter", "Dumps that were let begin, by how they ended.");
        for ((method, result), count) in &counted.dumps {
            text.line("", &[("method", method), ("result", result)], *count);
        }
        text.family(
            "twinheap_dump_pause_seconds",
            "summary",
            "How long dumps made their thread stand still.",
        );
        text.line("_sum", &[], counted.pause_sum.as_secs_f64());
        text.line("_count", &[], counted.pauses);
        text.family("twinheap_dump_last_pause_seconds", "gauge", "The pause of the last dump.");
        text.line("", &[], counted.pause_last.as_secs_f64());
        text.family("twinheap_dump_max_pause_seconds", "gauge", "The longest pause of a dump.");
        text.line("", &[], counted.pause_max.as_secs_f64());
        text.family("twinheap_http_requests_total", "counter", "Requests, by route and status.");
        for ((route, status), count) in &counted.requests {
            text.line("", &[("route", route), ("code", &status.to_string())], *count);
        }
        text.out
    }
}

fn heaps(text: &mut Text, heaps: &[HeapSample]) {
    /// A metric's name, its help, and its value.
    type Row<T, V> = (&'static str, &'static str, fn(&T) -> V);
    let of_heap: [Row<HeapSample, Option<u64>>; 4] = [
        ("twinheap_heap_used_bytes", "Objects in the heap of the thread.", |h| h.used),
        ("twinheap_heap_total_bytes", "Pages of the heap of the thread.", |h| h.total),
        ("twinheap_heap_limit_bytes", "The size that the heap may reach.", |h| h.limit),
        ("twinheap_heap_external_bytes", "Memory outside of the heap that its objects hold.", |h| h.external),
    ];
    for (name, help, value) in of_heap {
        text.family(name, "gauge", help);
        for heap in heaps {
            if let Some(value) = value(heap) {
                text.line("", &[("thread", &heap.thread)], value);
            }
        }
    }
    let of_space: [Row<SpaceSample, u64>; 3] = [
        ("twinheap_heap_space_used_bytes", "Objects in a space of the heap.", |s| s.used),
        ("twinheap_heap_space_size_bytes", "Pages of a space of the heap.", |s| s.size),
        ("twinheap_heap_space_available_bytes", "Room in the pages of a space.", |s| s.available),
    ];
    for (name, help, value) in of_space {
        text.family(name, "gauge", help);
        for heap in heaps {
            for space in &heap.spaces {
                text.line("", &[("thread", &heap.thread), ("space", &space.space)], value(space));
            }
        }
    }
}

/// The format: families with a type, lines with labels.
#[derive(Default)]
struct Text {
    out: String,
    family: &'static str,
}

impl Text {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a string can't fail.
        let _: std::fmt::Result = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.out.push_str(self.family);
        self.out.push_str(suffix);
        for (at, (name, value)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let _: std::fmt::Result = write!(self.out, "{open}{name}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _: std::fmt::Result = writeln!(self.out, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Vitals = Vitals { is_up: true, rss_bytes: Some(4096), is_dumping: false };

    #[track_caller]
    fn check(counts: &Counts, now: Instant, lines: &[&str]) {
        let text = counts.text(&UP, now);
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "no `{line}` in:\n{text}");
        }
        // Each family is announced once, before its lines, and each line is a name, labels and a number.
        let mut family = "";
        let mut seen = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
                assert!(!seen.contains(&family), "{family} twice");
                seen.push(family);
            } else if !line.starts_with("# HELP ") {
                assert!(line.starts_with(family), "{line} after {family}");
                assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn counts_are_told_in_prometheus_words() {
        let counts = Counts::default();
        let now = Instant::now();
        check(&counts, now, &["twinheap_target_up 1", "process_resident_memory_bytes 4096"]);
        counts.request("heapdump", 200);
        counts.request("heapdump", 200);
        counts.request("metrics", 401);
        counts.dump("ordinary", "ok", Some(Duration::from_millis(1500)));
        counts.dump("ordinary", "ok", Some(Duration::from_millis(500)));
        counts.dump("pause-free", "failed", None);
        check(
            &counts,
            now,
            &[
                "twinheap_http_requests_total{route=\"heapdump\",code=\"200\"} 2",
                "twinheap_http_requests_total{route=\"metrics\",code=\"401\"} 1",
                "twinheap_dumps_total{method=\"ordinary\",result=\"ok\"} 2",
                "twinheap_dumps_total{method=\"pause-free\",result=\"failed\"} 1",
                "twinheap_dump_pause_seconds_sum 2",
                "twinheap_dump_pause_seconds_count 2",
                "twinheap_dump_last_pause_seconds 0.5",
                "twinheap_dump_max_pause_seconds 1.5",
            ],
        );
    }

    #[test]
    fn heaps_have_labels_and_an_age() {
        let counts = Counts::default();
        let taken = Instant::now();
        let space = SpaceSample { space: "old_space".into(), used: 1, size: 3, available: 2 };
        let heap = HeapSample {
            thread: "a\"b\\c\nd".into(),
            used: Some(7),
            total: Some(9),
            spaces: vec![space],
            ..HeapSample::default()
        };
        counts.sampled(Sample { taken, heaps: vec![heap] });
        check(
            &counts,
            taken + Duration::from_millis(2500),
            &[
                "twinheap_sample_age_seconds 2.5",
                r#"twinheap_heap_used_bytes{thread="a\"b\\c\nd"} 7"#,
                r#"twinheap_heap_total_bytes{thread="a\"b\\c\nd"} 9"#,
                r#"twinheap_heap_space_used_bytes{thread="a\"b\\c\nd",space="old_space"} 1"#,
            ],
        );
    }
}
