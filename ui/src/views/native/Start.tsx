/** A native trace in a few numbers, over time, and its most expensive stacks. */
import { count, percent, seconds, size, visible } from "../../lib/format";
import { type Frame, type NativeSummary, byOf, costText, frameName, framePlace, nativeAddress } from "../../lib/native";
import { linkTo, useRoute, withParts } from "../../lib/route";
import { useAnswer } from "../../lib/use";
import { Card, Failed } from "../../parts/Words";
import type { ViewProps } from "../list";
import { NativeBar } from "./Bar";
import { NativeVerdict } from "./Verdict";

const STACKS = 15;
const FRAMES = 4;

export function NativeStart({ file, files }: ViewProps) {
  const route = useRoute();
  const by = byOf(route);
  const { data, error } = useAnswer<NativeSummary>(nativeAddress(file.id, "summary", route));
  return (
    <div className="whole">
      <NativeBar file={file} tall />
      {error ? (
        <Failed error={error} />
      ) : !data ? (
        <p className="note busy">working…</p>
      ) : (
        <div className="page start">
          <header className="head">
            <h1 title={file.path}>{visible(data.command || file.name)}</h1>
            <dl className="cards">
              <Card title="Peak" note={`after ${seconds(data.peak_time)}`}>
                {size(data.peak_bytes)}
              </Card>
              <Card title="Leaked">{size(data.leaked_bytes)}</Card>
              <Card title="Allocations" note={`${size(data.allocated_bytes)} in all`}>
                {count(data.allocations)}
              </Card>
              {data.temporary !== null && (
                <Card title="Temporary" note={percent(data.temporary, data.allocations)}>
                  {count(data.temporary)}
                </Card>
              )}
              {data.peak_rss !== null && <Card title="Peak RSS">{size(data.peak_rss)}</Card>}
              {data.lost && (
                <Card title="Lost" note={`${count(data.lost.direct_blocks + data.lost.indirect_blocks)} blocks`}>
                  {size(data.lost_bytes ?? 0)}
                </Card>
              )}
              {data.suppressed_bytes !== 0 && <Card title="Suppressed leaks">{size(data.suppressed_bytes)}</Card>}
              <Card title="Recorded for">{seconds(data.runtime)}</Card>
            </dl>
          </header>
          <NativeVerdict file={file} files={files} most={3} />
          <section>
            <h2>Most expensive stacks</h2>
            <Stacks stacks={(data.stacks[by] ?? []).slice(0, STACKS)} cost={(stack) => costText(by, stack[by])} />
            <p>
              <a {...linkTo(withParts(route, { view: "bottom-up" }))}>All of them as a tree</a>
            </p>
          </section>
          {data.lost && (
            <section aria-label="Lost blocks">
              <h2>Lost blocks</h2>
              <p className="dim">
                Nothing pointed to {count(data.lost.direct_blocks)} blocks when the program ended
                {data.lost.indirect_blocks > 0 &&
                  `, on which ${count(data.lost.indirect_blocks)} more of ${size(data.lost.indirect_bytes)} hang`}
                {data.lost.suppressed_bytes > 0 && `; ${size(data.lost.suppressed_bytes)} of known leaks are left out`}.
              </p>
              <Stacks
                stacks={data.lost.stacks.slice(0, STACKS)}
                cost={(stack) => size(stack.direct_bytes + stack.indirect_bytes)}
              />
            </section>
          )}
          {data.suppressions.length > 0 && (
            <section>
              <h2>Suppressions</h2>
              <p className="dim">Known leaks that are not counted above, by the rule that leaves them out.</p>
              <table className="plain" aria-label="Suppressions">
                <tbody>
                  {data.suppressions.map((rule) => (
                    <tr key={rule.pattern}>
                      <th scope="row">{visible(rule.pattern)}</th>
                      <td className="number">{count(rule.stacks)} stacks</td>
                      <td className="number">{size(rule.leaked_bytes)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </section>
          )}
        </div>
      )}
    </div>
  );
}

/** Stacks with what each costs, their innermost functions first. */
function Stacks<S extends { frames: Frame[] }>({ stacks, cost }: { stacks: S[]; cost: (stack: S) => string }) {
  return (
    <ol className="stacks">
      {stacks.map((stack, at) => (
        <li key={at}>
          <span className="stack-cost">{cost(stack)}</span>
          <span className="frames">
            {stack.frames.slice(0, FRAMES).map((frame, depth) => (
              <span key={depth} className={`frame ${frame.kind}`}>
                {depth > 0 && <span className="dim"> ‹ </span>}
                {visible(frameName(frame))} <span className="place">{visible(framePlace(frame))}</span>
              </span>
            ))}
            {stack.frames.length > FRAMES && <span className="dim"> ‹ {count(stack.frames.length - FRAMES)} more</span>}
          </span>
        </li>
      ))}
    </ol>
  );
}
