//! Where the command line and `NODE_OPTIONS` put the inspector.

use std::borrow::Cow;

/// What the options of a process say about its inspector.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConfiguredInspector {
    /// Host or address, where one was given.
    pub host: Option<String>,
    /// Port, where one was given that is not 0: 0 is any free port, which only the process knows.
    pub port: Option<u16>,
    /// Whether it listens from the start; else the port is where SIGUSR1 opens it.
    pub from_start: bool,
}

/// Options that take the next argument as their value, so that it isn't the script.
const WITH_VALUE: [&str; 16] = [
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-e",
    "--eval",
    "-p",
    "--print",
    "-pe",
    "-C",
    "--conditions",
    "--title",
    "--env-file",
    "--icu-data-dir",
    "--diagnostic-dir",
];

/// Options of a process from `/proc/PID/cmdline` and `/proc/PID/environ`: the command line wins.
pub(super) fn configured(cmdline: &[u8], environ: &[u8]) -> Option<ConfiguredInspector> {
    let mut found = None;
    let variable = environ.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"NODE_OPTIONS="));
    // Quotes around an option with spaces don't matter: none of ours has any.
    let options = String::from_utf8_lossy(variable.unwrap_or_default()).replace('"', " ");
    apply(&mut found, options.split_whitespace().map(Cow::Borrowed));
    apply(&mut found, cmdline.split(|&byte| byte == 0).skip(1).map(String::from_utf8_lossy));
    found
}

fn apply<'a>(found: &mut Option<ConfiguredInspector>, mut arguments: impl Iterator<Item = Cow<'a, str>>) {
    while let Some(argument) = arguments.next() {
        // The script, after which all is the application's.
        if !argument.starts_with('-') || argument == "--" || argument == "-" {
            return;
        }
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(Cow::Borrowed(value))),
            None => (&*argument, None),
        };
        // Node takes underscores for hyphens.
        let name = name.replace('_', "-");
        match name.as_str() {
            "--inspect" | "--inspect-brk" | "--inspect-wait" => {
                let entry = found.get_or_insert_default();
                entry.from_start = true;
                set(entry, value.as_deref().unwrap_or_default());
            }
            "--inspect-port" | "--debug-port" => {
                let next = if value.is_none() { arguments.next() } else { None };
                let value = value.or(next).unwrap_or_default();
                set(found.get_or_insert_default(), &value);
            }
            name if WITH_VALUE.contains(&name) && value.is_none() => {
                arguments.next();
            }
            _ => {}
        }
    }
}

/// `9230`, `localhost`, `localhost:9230`, `[::1]:9230`.
fn set(entry: &mut ConfiguredInspector, value: &str) {
    let (host, port) = match value.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().ok()),
        _ => match value.parse::<u16>() {
            Ok(port) => ("", Some(port)),
            Err(_) => (value, None),
        },
    };
    let host = host.trim_matches(['[', ']']);
    if !host.is_empty() {
        entry.host = Some(host.to_owned());
    }
    if let Some(port) = port {
        entry.port = (port != 0).then_some(port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cmdline: &str, environ: &str, expected: Option<(Option<&str>, Option<u16>, bool)>) {
        let zeros = |text: &str| text.replace('|', "\0").into_bytes();
        let expected = expected.map(|(host, port, from_start)| ConfiguredInspector {
            host: host.map(str::to_owned),
            port,
            from_start,
        });
        assert_eq!(configured(&zeros(cmdline), &zeros(environ)), expected, "{cmdline} {environ}");
    }

    #[test]
    fn options_before_the_script_count() {
        check("node|app.js|", "", None);
        check("node|--inspect|app.js|", "", Some((None, None, true)));
        check("node|--inspect=9230|app.js|", "", Some((None, Some(9230), true)));
        check("node|--inspect-brk=0.0.0.0:9231|app.js|", "", Some((Some("0.0.0.0"), Some(9231), true)));
        check("node|--inspect=[::1]:9231|app.js|", "", Some((Some("::1"), Some(9231), true)));
        check("node|--inspect=[::1]|app.js|", "", Some((Some("::1"), None, true)));
        check("node|--inspect=localhost|app.js|", "", Some((Some("localhost"), None, true)));
        check("node|--inspect-port=9232|app.js|", "", Some((None, Some(9232), false)));
        check("node|--debug-port|9233|app.js|", "", Some((None, Some(9233), false)));
        check("node|--inspect_port=0|app.js|", "", Some((None, None, false)));
        check("node|--inspect|--inspect-port=9234|app.js|", "", Some((None, Some(9234), true)));
        check("node|app.js|--inspect=9230|", "", None);
        check("node|-r|hook.js|--inspect=9230|app.js|", "", Some((None, Some(9230), true)));
        check("node|--max-old-space-size=4096|--|--inspect|", "", None);
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        check("node|app.js|", "A=1|NODE_OPTIONS=--inspect=9240|B=2|", Some((None, Some(9240), true)));
        check(
            "node|--inspect-port=9241|app.js|",
            "NODE_OPTIONS=--require \"a.js\" --inspect=h:9240|",
            Some((Some("h"), Some(9241), true)),
        );
        check("node|app.js|", "MY_NODE_OPTIONS=--inspect|", None);
    }

    #[test]
    fn garbage_is_no_option() {
        check("", "", None);
        check("pm2: app|", "NODE_OPTIONS=|", None);
        check("node|--inspect=99999|", "", Some((Some("99999"), None, true)));
        check("node|--inspect-port|", "", Some((None, None, false)));
    }
}
