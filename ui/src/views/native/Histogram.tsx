/** How many blocks of which size. */
import { count, size, visible } from "../../lib/format";
import { type Bucket, type Histogram, byOf, costText, frameName, nativeAddress } from "../../lib/native";
import { useRoute } from "../../lib/route";
import { useAnswer } from "../../lib/use";
import { Failed } from "../../parts/Words";
import type { ViewProps } from "../list";
import { NativeBar } from "./Bar";

export function HistogramView({ file }: ViewProps) {
  const route = useRoute();
  const by = byOf(route);
  const { data, error } = useAnswer<Histogram>(nativeAddress(file.id, "histogram", route));
  // Sizes have no count of temporary blocks.
  const key = by === "temporary" ? "allocations" : by;
  const value = (bucket: Bucket) => bucket[key];
  const most = Math.max(1, ...(data?.buckets.map(value) ?? []));
  return (
    <div className="whole">
      <NativeBar file={file} />
      {error ? (
        <Failed error={error} />
      ) : !data ? (
        <p className="note busy">working…</p>
      ) : (
        <div className="page">
          {by === "temporary" && <p className="dim">Sizes of temporary blocks are not known; these are all calls.</p>}
          <table className="plain" aria-label="Sizes of blocks">
            <thead>
              <tr>
                <th scope="col">Size of a block</th>
                <th scope="col" className="number wide">
                  {key === "allocations" ? "Calls" : key === "peak" ? "Alive at the peak" : "Leaked"}
                </th>
                <th scope="col" className="number">
                  Calls
                </th>
                <th scope="col">Largest call site</th>
              </tr>
            </thead>
            <tbody>
              {data.buckets.map((bucket) => (
                <tr key={bucket.min_size}>
                  <th scope="row">
                    {bucket.min_size === bucket.max_size ? size(bucket.min_size) : `${size(bucket.min_size)} – ${size(bucket.max_size)}`}
                  </th>
                  <td className="number">
                    <span className="share">
                      <span className="bar" style={{ width: `${(Math.max(0, value(bucket)) / most) * 100}%` }} aria-hidden="true" />
                      <span className="value">{costText(key, value(bucket))}</span>
                    </span>
                  </td>
                  <td className="number">{count(bucket.allocations)}</td>
                  <td>{bucket.top_site?.frames[0] && visible(frameName(bucket.top_site.frames[0]))}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}
