/** The bytes of a heap by kind, as one bar and a table. */
import { type Info, type Statistics, address } from "../lib/api";
import { count, percent, size } from "../lib/format";
import { useAnswer } from "../lib/use";
import { Failed } from "../parts/Words";
import type { ViewProps } from "./list";

const KINDS: [Exclude<keyof Statistics, "total">, string, string][] = [
  ["code", "Code", "compiled functions and their metadata"],
  ["strings", "Strings", "of all kinds"],
  ["js_arrays", "JS arrays", "arrays and their elements"],
  ["typed_arrays", "Typed arrays", "data of buffers, outside of V8's heap"],
  ["system", "System objects", "V8's bookkeeping"],
  ["other_js", "Other JS objects", "the rest of V8's heap"],
  ["other_native", "Other native", "native memory that V8 knows of"],
];

export function StatisticsView({ file }: ViewProps) {
  const info = useAnswer<Info>(address(`files/${file.id}/info`));
  if (info.error) return <Failed error={info.error} />;
  if (!info.data) return <p className="note busy">working…</p>;
  return (
    <div className="page narrow">
      <h1>Bytes by kind</h1>
      <KindBar statistics={info.data.statistics} />
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Kind</th>
            <th scope="col" className="number">
              Size
            </th>
            <th scope="col" className="number">
              Bytes
            </th>
            <th scope="col" className="number">
              Share
            </th>
          </tr>
        </thead>
        <tbody>
          {KINDS.map(([key, title, note]) => (
            <tr key={key} data-kind={key}>
              <th scope="row">
                <span className={`swatch kind-${key}`} aria-hidden="true" />
                {title} <span className="dim">{note}</span>
              </th>
              <td className="number">{size(info.data!.statistics[key])}</td>
              <td className="number" data-bytes={info.data!.statistics[key]}>
                {count(info.data!.statistics[key])}
              </td>
              <td className="number">{percent(info.data!.statistics[key], info.data!.statistics.total)}</td>
            </tr>
          ))}
          <tr className="total" data-kind="total">
            <th scope="row">Total</th>
            <td className="number">{size(info.data.statistics.total)}</td>
            <td className="number" data-bytes={info.data.statistics.total}>
              {count(info.data.statistics.total)}
            </td>
            <td />
          </tr>
        </tbody>
      </table>
    </div>
  );
}

/** One bar whose parts are the kinds. */
export function KindBar({ statistics }: { statistics: Statistics }) {
  const words = KINDS.filter(([key]) => statistics[key] > 0).map(
    ([key, title]) => `${title} ${percent(statistics[key], statistics.total)}`,
  );
  return (
    <div className="kinds">
      <div className="kind-bar" role="img" aria-label={words.join(", ")}>
        {KINDS.map(([key, title]) => (
          <span
            key={key}
            className={`kind-${key}`}
            style={{ flexGrow: statistics[key] }}
            title={`${title}: ${size(statistics[key])}`}
          />
        ))}
      </div>
      <ul className="legend">
        {KINDS.filter(([key]) => statistics[key] > 0).map(([key, title]) => (
          <li key={key}>
            <span className={`swatch kind-${key}`} aria-hidden="true" />
            {title} <span className="dim">{size(statistics[key])}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
