//! How texts for people look: sizes, numbers, bars, colour.

/// What the user asked for.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Escape sequences for bold and dim.
    pub color: bool,
    /// Exact bytes instead of kB and MB.
    pub exact_bytes: bool,
    /// Columns of the terminal; names are cut to fit.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Style { color: false, exact_bytes: false, width: 120 }
    }
}

impl Style {
    /// A size: decimal units as in DevTools, three significant digits.
    pub fn size(&self, bytes: u64) -> String {
        if self.exact_bytes {
            return bytes.to_string();
        }
        const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
        let mut value = bytes as f64;
        let mut unit = 0;
        while value >= 999.5 && unit < UNITS.len() - 1 {
            value /= 1000.0;
            unit += 1;
        }
        let digits = if unit == 0 || value >= 99.95 { 0 } else { 1 };
        format!("{value:.digits$} {}", UNITS[unit])
    }

    /// A difference of sizes, with its sign.
    pub fn signed_size(&self, bytes: i64) -> String {
        let sign = if bytes < 0 { "−" } else { "+" };
        if bytes == 0 { self.size(0) } else { format!("{sign}{}", self.size(bytes.unsigned_abs())) }
    }

    /// A count with its digits in groups of three.
    pub fn count(&self, count: u64) -> String {
        let digits = count.to_string();
        let mut grouped = String::with_capacity(digits.len() * 4 / 3);
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    }

    /// A difference of counts, with its sign.
    pub fn signed_count(&self, count: i64) -> String {
        let sign = match count {
            0 => "",
            1.. => "+",
            _ => "−",
        };
        format!("{sign}{}", self.count(count.unsigned_abs()))
    }

    /// A share of a whole in percent.
    pub fn percent(&self, part: u64, whole: u64) -> String {
        if whole == 0 {
            return "–".to_owned();
        }
        let percent = part as f64 * 100.0 / whole as f64;
        if percent > 0.0 && percent < 0.95 { "<1 %".to_owned() } else { format!("{percent:.0} %") }
    }

    /// A share as a bar of `cells` characters.
    pub fn bar(&self, part: u64, whole: u64, cells: usize) -> String {
        const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
        let share = if whole == 0 { 0.0 } else { (part as f64 / whole as f64).clamp(0.0, 1.0) };
        let eighths = (share * cells as f64 * 8.0).round() as usize;
        // What exists is seen, however small.
        let eighths = if part > 0 && cells > 0 { eighths.max(1) } else { eighths };
        let mut bar = "█".repeat(eighths / 8);
        if !eighths.is_multiple_of(8) {
            bar.push(EIGHTHS[eighths % 8]);
        }
        let used = bar.chars().count();
        bar.extend(std::iter::repeat_n(' ', cells.saturating_sub(used)));
        bar
    }

    /// Stressed text.
    pub fn bold(&self, text: &str) -> String {
        self.escape("1", text)
    }

    /// Text in the background.
    pub fn dim(&self, text: &str) -> String {
        self.escape("2", text)
    }

    fn escape(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal() {
        let style = Style::default();
        let sizes = [0, 999, 1000, 1250, 99_949, 99_950, 999_499, 999_500, 5_368_709_120];
        let shown: Vec<_> = sizes.iter().map(|&s| style.size(s)).collect();
        assert_eq!(
            shown,
            ["0 B", "999 B", "1.0 kB", "1.2 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB", "5.4 GB"]
        );
        assert_eq!(style.signed_size(-2048), "−2.0 kB");
        assert_eq!(Style { exact_bytes: true, ..style }.size(5_368_709_120), "5368709120");
    }

    #[test]
    fn counts_and_shares() {
        let style = Style::default();
        assert_eq!(style.count(1_234_567), "1,234,567");
        assert_eq!(style.signed_count(-12), "−12");
        assert_eq!(style.percent(1, 1000), "<1 %");
        assert_eq!(style.percent(999, 1000), "100 %");
        assert_eq!(style.bar(1, 2, 4), "██  ");
        assert_eq!(style.bar(1, 100_000, 4), "▏   ");
        assert_eq!(style.bar(0, 0, 3), "   ");
        assert_eq!(style.bar(1, 1, 0), "");
    }
}
