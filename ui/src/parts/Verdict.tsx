/** The verdict of `leaks`: what grows or is suspiciously large, where it piles up, which line to look at. */
import type { FileState, Leaks, Suspect } from "../lib/api";
import { address } from "../lib/api";
import { count, size, visible } from "../lib/format";
import { linkTo } from "../lib/route";
import { useAnswer } from "../lib/use";
import { Failed, Place } from "./Words";

/** Suspects on the first page. */
const SHOWN = 3;

export function Verdict({ file, files }: { file: FileState; files: FileState[] }) {
  // Snapshots before this one make it a ladder; while one of them is on its way the verdict waits.
  const before = files.filter((other) => other.id < file.id);
  const isWaiting = before.some((other) => other.status === "loading" || other.status === "waiting");
  const dumps = before.filter((other) => other.kind === "js-snapshot").length + 1;
  const { data, error } = useAnswer<Leaks>(isWaiting ? null : address(`files/${file.id}/leaks`));
  if (error) return <Failed error={error} />;
  if (!data) {
    return (
      <section className="verdict" aria-label="Verdict">
        <p className="dim busy">{isWaiting ? "The verdict waits for the snapshots before this one." : "looking for leaks…"}</p>
      </section>
    );
  }
  return (
    <section className={`verdict ${data.verdict}`} aria-label="Verdict">
      <header>
        <strong>{visible(data.headline)}</strong>
        <span className="dim">
          {dumps > 1 ? `${dumps} snapshots: ${data.total_size.map(size).join(" → ")}` : "one snapshot shows what is large, two or more show what grows"}
        </span>
      </header>
      <ul>
        {data.suspects.slice(0, SHOWN).map((suspect) => (
          <li key={`${suspect.accumulation_id} ${suspect.name}`}>
            <Line suspect={suspect} file={file} />
          </li>
        ))}
      </ul>
      {data.suspects.length > SHOWN && <p className="dim">{data.suspects.length - SHOWN} more: twinheap leaks shows all</p>}
      {data.warnings.map((warning) => (
        <p className="dim" key={warning}>
          {visible(warning)}
        </p>
      ))}
    </section>
  );
}

function Line({ suspect, file }: { suspect: Suspect; file: FileState }) {
  const at = { file: String(file.id), view: "summary" };
  const { location } = suspect;
  return (
    <>
      <span className="suspect">
        <a {...linkTo({ ...at, id: String(suspect.accumulation_id), pane: "refers" })}>{visible(suspect.name)}</a>
        <span className="series">
          {suspect.count.map(count).join(" → ")} objects · {size(suspect.retained_size.at(-1) ?? 0)} retained
        </span>
        {location && <Place at={location} />}
        <a className="quiet" {...linkTo({ ...at, id: String(suspect.example_id), pane: "path" })}>
          how one is held
        </a>
      </span>
      <span className="dim advice">{visible(suspect.advice)}</span>
    </>
  );
}
