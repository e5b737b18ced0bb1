use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const MB: u64 = 1_000_000;
const GB: u64 = 1_000 * MB;

#[track_caller]
fn within(measured: f64, foreseen: Span<f64>) {
    assert!(foreseen.low <= measured && measured <= foreseen.high, "{measured} and {foreseen:?}");
}

fn as_floats(span: Span<u64>) -> Span<f64> {
    Span { low: span.low as f64, high: span.high as f64 }
}

#[test]
fn the_dumps_that_were_measured_are_foreseen() {
    // Heap used, major version, nodes, memory, seconds, file.
    for (used, major, nodes, memory, pause) in [
        (800 * MB, 20, 18.5e6, 6.15e9, 95.7),
        (166 * MB, 24, 3.76e6, 1.08e9, 7.1),
        (166 * MB, 26, 3.76e6, 1.17e9, 7.5),
    ] {
        let heap = HeapSize { used_bytes: used, total_bytes: used };
        let prediction = predict(heap, Some(major), Kind::Ordinary);
        within(nodes, as_floats(prediction.nodes));
        within(memory, as_floats(prediction.extra_memory_bytes));
        within(pause, prediction.pause_seconds);
    }
    let heap = HeapSize { used_bytes: 800 * MB, total_bytes: 850 * MB };
    within(1.35e9, as_floats(predict(heap, Some(20), Kind::Ordinary).file_bytes));
}

#[test]
fn a_fork_trades_the_pause_for_memory() {
    let heap = HeapSize { used_bytes: GB, total_bytes: 2 * GB };
    let ordinary = predict(heap, None, Kind::Ordinary);
    let forked = predict(heap, None, Kind::PauseFree { rss_bytes: 4 * GB });
    assert_eq!(forked.extra_memory_bytes.low, ordinary.extra_memory_bytes.low);
    assert_eq!(forked.extra_memory_bytes.high, ordinary.extra_memory_bytes.high + 2 * GB);
    assert!(forked.pause_seconds.high < 0.25 && ordinary.pause_seconds.low > 30.0);
    // Without a version, both kinds of engine are reckoned with.
    let span = |major| predict(heap, Some(major), Kind::Ordinary).pause_seconds;
    assert_eq!((ordinary.pause_seconds.low, ordinary.pause_seconds.high), (span(24).low, span(22).high));
}

/// A machine made up of files: paths, which are below `proc` or `sys`, and what is in them.
fn machine(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let meminfo = "MemTotal: 16000000 kB\nMemFree: 1 kB\nMemAvailable:  8000000 kB\nSwapFree:  1000000 kB\n";
    for (path, text) in [("proc/meminfo", meminfo)].iter().chain(files) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("folders");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn room_of(folder: &TempDir) -> Room {
    room(7, &folder.path().join("proc"), folder.path()).expect("the process is there")
}

#[track_caller]
fn check_room(files: &[(&str, &str)], limit: Option<(&str, u64)>, available: u64) -> Room {
    let room = room_of(&machine(files));
    let limit =
        limit.map_or(Limit::Machine, |(path, max_bytes)| Limit::Cgroup { path: path.into(), max_bytes });
    assert_eq!((&room.limit, room.available_bytes), (&limit, available));
    room
}

const MOUNT_2: (&str, &str) =
    ("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n");
const KIB: u64 = 1024;

#[test]
fn the_machine_is_the_limit_where_no_group_has_one() {
    let all = 9_000_000 * KIB;
    check_room(&[("proc/7/cgroup", "0::/\n"), MOUNT_2, ("sys/fs/cgroup/cgroup.procs", "")], None, all);
    check_room(&[("proc/7/cgroup", "")], None, all);
    check_room(&[("proc/7/cgroup", "0::/gone (deleted)\n"), MOUNT_2], None, all);
    check_room(
        &[
            ("proc/7/cgroup", "0::/a\n"),
            MOUNT_2,
            ("sys/fs/cgroup/a/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.current", "5000\n"),
        ],
        None,
        all,
    );
}

#[test]
fn the_nearest_limit_of_all_groups_above_counts() {
    let files = [
        ("proc/7/cgroup", "0::/pod/app\n"),
        MOUNT_2,
        ("sys/fs/cgroup/pod/memory.max", "3000000000\n"),
        ("sys/fs/cgroup/pod/memory.current", "2900000000\n"),
        ("sys/fs/cgroup/pod/memory.swap.max", "0\n"),
        ("sys/fs/cgroup/pod/memory.stat", "file 7\ninactive_file 400000000\nactive_file 5\n"),
        ("sys/fs/cgroup/pod/memory.oom.group", "1\n"),
        ("sys/fs/cgroup/pod/app/memory.max", "2000000000\n"),
        ("sys/fs/cgroup/pod/app/memory.current", "1000000000\n"),
        ("sys/fs/cgroup/pod/app/memory.high", "1500000000\n"),
        ("sys/fs/cgroup/pod/app/memory.swap.max", "max\n"),
    ];
    let room = check_room(&files, Some(("/pod", 3 * GB)), 500 * MB);
    assert!(room.oom_group);
    assert_eq!(room.throttle_bytes, Some(500 * MB));
}

#[test]
fn swap_is_room_up_to_its_own_limit() {
    let files = |swap: &'static str| {
        [
            ("proc/7/cgroup", "0::/app\n"),
            MOUNT_2,
            ("sys/fs/cgroup/app/memory.max", "1000000000\n"),
            ("sys/fs/cgroup/app/memory.current", "900000000\n"),
            ("sys/fs/cgroup/app/memory.swap.max", swap),
            ("sys/fs/cgroup/app/memory.swap.current", "50000000\n"),
        ]
    };
    check_room(&files("150000000\n"), Some(("/app", GB)), 200 * MB);
    // Not more than the machine has.
    check_room(&files("max\n"), Some(("/app", GB)), 100 * MB + 1_000_000 * KIB);
    check_room(&files("0\n"), Some(("/app", GB)), 100 * MB);
}

#[test]
fn version_1_counts_memory_and_swap_together() {
    const MOUNT_1: (&str, &str) = (
        "proc/self/mountinfo",
        "30 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
         35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
         41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
    );
    let without_swap = [
        ("proc/7/cgroup", "5:cpu:/\n4:memory:/docker/abc\n0::/docker/abc\n"),
        MOUNT_1,
        ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "2000000000\n"),
        ("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "1500000000\n"),
        ("sys/fs/cgroup/memory/docker/abc/memory.stat", "inactive_file 1\ntotal_inactive_file 300000000\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "9000000000\n"),
    ];
    check_room(&without_swap, Some(("/docker/abc", 2 * GB)), 800 * MB + 1_000_000 * KIB);
    let mut with_swap = Vec::from(without_swap);
    with_swap.push(("sys/fs/cgroup/memory/docker/abc/memory.memsw.limit_in_bytes", "2100000000\n"));
    with_swap.push(("sys/fs/cgroup/memory/docker/abc/memory.memsw.usage_in_bytes", "1600000000\n"));
    check_room(&with_swap, Some(("/docker/abc", 2100 * MB)), 800 * MB);
}

#[test]
fn a_containers_own_part_of_the_hierarchy_is_taken_off_the_path() {
    let files = [
        ("proc/7/cgroup", "0::/docker/abc/app\n"),
        ("proc/self/mountinfo", "1 2 0:1 /docker/abc /sys/fs/c\\040g rw shared:1 - cgroup2 cgroup2 rw\n"),
        ("sys/fs/c g/app/memory.max", "600000000\n"),
        ("sys/fs/c g/app/memory.current", "100000000\n"),
        ("sys/fs/c g/app/memory.swap.max", "0\n"),
    ];
    check_room(&files, Some(("/docker/abc/app", 600 * MB)), 500 * MB);
}

#[test]
fn a_neighbour_container_is_seen_through_its_own_mounts() {
    // A debug container that shares the processes, and each has a cgroup namespace of its own.
    let files = [
        ("proc/7/cgroup", "0::/../server\n"),
        MOUNT_2,
        ("sys/fs/cgroup/memory.max", "1000\n"),
        ("sys/fs/cgroup/memory.current", "1000\n"),
        ("proc/7/mountinfo", "9 8 0:28 /../server /sys/fs/cgroup ro - cgroup2 cgroup rw\n"),
        ("proc/7/root/sys/fs/cgroup/memory.max", "600000000\n"),
        ("proc/7/root/sys/fs/cgroup/memory.current", "100000000\n"),
        ("proc/7/root/sys/fs/cgroup/memory.swap.max", "0\n"),
    ];
    check_room(&files, Some(("/../server", 600 * MB)), 500 * MB);
}

#[test]
fn the_room_of_a_live_process_can_be_asked() {
    let room = room(std::process::id(), Path::new("/proc"), Path::new("/")).expect("we run");
    assert!(room.available_bytes > 0);
}

#[test]
fn the_disk_says_what_is_left() {
    assert!(disk_room(&std::env::temp_dir()).expect("it is there") > 0);
    let error = disk_room(Path::new("/no/such/folder")).expect_err("there is none");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[track_caller]
fn check_refusals(available: u64, disk: u64, max_pause: f64, expected: &[(Level, &str, &str)]) {
    let prediction = Prediction {
        nodes: Span { low: 1, high: 2 },
        pause_seconds: Span { low: 0.5, high: 120.0 },
        extra_memory_bytes: Span { low: GB, high: 2 * GB },
        file_bytes: Span { low: 200 * MB, high: 400 * MB },
        compressed_file_bytes: Span { low: 40 * MB, high: 80 * MB },
    };
    let limit = Limit::Cgroup { path: PathBuf::from("/pod/app"), max_bytes: 4 * GB };
    let room = Room { limit, available_bytes: available, oom_group: true, throttle_bytes: None };
    let limits = Limits { max_pause_seconds: Some(max_pause), compressed: true };
    let refusals = check(&prediction, &room, Some(disk), &limits);
    let found: Vec<(Level, String, String)> =
        refusals.iter().map(|refusal| (refusal.level(), refusal.to_string(), refusal.hint())).collect();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((level, text, hint), &(expected_level, expected_text, flag)) in found.iter().zip(expected) {
        assert_eq!((*level, &**text), (expected_level, expected_text));
        assert!(hint.contains(flag) && hint.contains("--force"), "{hint}");
    }
}

#[test]
fn a_dump_is_refused_in_words_that_name_the_limit() {
    check_refusals(2 * GB, 80 * MB, 120.0, &[]);
    check_refusals(
        999 * MB,
        39 * MB,
        0.2,
        &[
            (
                Level::Refuse,
                "the dump takes 1.0 GB to 2.0 GB of memory, and 999 MB are left under the limit of 4.0 GB of \
                 control group /pod/app, whose processes the kernel kills all together",
                "limit of the container",
            ),
            (
                Level::Refuse,
                "the file takes 40.0 MB to 80.0 MB, and 39.0 MB are left on the disk",
                "another disk",
            ),
            (
                Level::Refuse,
                "the process will be silent for 500 ms to 2 min, and 200 ms are allowed",
                "--max-pause",
            ),
        ],
    );
    check_refusals(
        2 * GB,
        79 * MB,
        10.0,
        &[
            (
                Level::Warn,
                "the file takes 40.0 MB to 80.0 MB, and 79.0 MB are left on the disk",
                "another disk",
            ),
            (
                Level::Warn,
                "the process will be silent for 500 ms to 2 min, and 10.0 s are allowed",
                "--max-pause",
            ),
        ],
    );
}

#[test]
fn a_limit_that_only_slows_down_is_a_warning() {
    let heap = HeapSize { used_bytes: GB, total_bytes: GB };
    let prediction = predict(heap, Some(24), Kind::Ordinary);
    let room =
        Room { limit: Limit::Machine, available_bytes: 100 * GB, oom_group: false, throttle_bytes: Some(0) };
    let limits = Limits { max_pause_seconds: None, compressed: false };
    let refusals = check(&prediction, &room, None, &limits);
    assert!(matches!(refusals[..], [Refusal::Throttle { .. }]), "{refusals:?}");
    assert_eq!(refusals[0].level(), Level::Warn);
}

#[test]
fn sizes_are_decimal() {
    let texts = [0, 999, 1000, 99_949, 99_950, 999_499, 999_500, 5_400_000_000, u64::MAX]
        .map(|n| Bytes(n).to_string());
    assert_eq!(
        texts,
        ["0 B", "999 B", "1.0 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB", "5.4 GB", "18.4 EB"]
    );
}
