//! What threads are called: by the inspector, and by us.

/// The number and the name in a worker's title: `[worker 2] discv5`, `[worker 2]`, `[worker 2] WorkerThread`.
pub(crate) fn numbered(title: &str) -> (Option<u64>, &str) {
    let inner = title.strip_prefix("[worker ").and_then(|rest| rest.split_once(']'));
    match inner {
        Some((number, name)) => (number.parse().ok(), name.trim()),
        None => (None, title.trim()),
    }
}

/// Names for the threads with these titles: unique, and fit for a file name.
pub(crate) fn thread_names<'a>(titles: impl Iterator<Item = &'a str>) -> Vec<String> {
    let parts: Vec<(Option<u64>, String)> = titles
        .map(|title| {
            let (number, name) = numbered(title);
            let name: String = name
                .chars()
                .take(60)
                .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
                .collect();
            // What Node calls a worker that has no name.
            let name = name.trim_start_matches('.');
            (number, if name == "WorkerThread" { String::new() } else { name.to_owned() })
        })
        .collect();
    let mut names: Vec<String> = Vec::new();
    for (at, (number, name)) in parts.iter().enumerate() {
        let number = number.unwrap_or(at as u64 + 1);
        let is_shared = name == "main" || parts.iter().filter(|(_, other)| other == name).count() > 1;
        let mut label = match (name.as_str(), is_shared) {
            ("", _) => format!("worker-{number}"),
            (name, true) => format!("{name}-{number}"),
            (name, false) => name.to_owned(),
        };
        while names.contains(&label) {
            label.push('_');
        }
        names.push(label);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(titles: &[&str], expected: &[&str]) {
        assert_eq!(thread_names(titles.iter().copied()), expected);
    }

    #[test]
    fn threads_have_names_of_their_own() {
        check(
            &["[worker 1] network", "[worker 2]", "[worker 3] WorkerThread"],
            &["network", "worker-2", "worker-3"],
        );
        check(&["[worker 1] pool", "[worker 7] pool"], &["pool-1", "pool-7"]);
        check(&["[worker 1] main", "[worker 2] ../../etc/x y"], &["main-1", "_.._etc_x_y"]);
        check(&["odd", "odd-2", "odd"], &["odd-1", "odd-2", "odd-3"]);
    }
}
