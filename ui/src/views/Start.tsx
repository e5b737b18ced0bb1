/** What the file is, where its bytes are, and the way to everything else. */
import { type Classes, type Info, type Tile, address } from "../lib/api";
import { count, seconds, size, visible } from "../lib/format";
import { linkTo, step, useRoute } from "../lib/route";
import { useAnswer } from "../lib/use";
import { Treemap } from "../parts/Treemap";
import { Verdict } from "../parts/Verdict";
import { Card, Failed, Share } from "../parts/Words";
import { KindBar } from "./Statistics";
import type { ViewProps } from "./list";

/** Classes on the first page; the Summary has all. */
const CLASSES = 12;

export function Start({ file, files }: ViewProps) {
  const route = useRoute();
  const by = route["by"] === "package" ? "package" : "class";
  const info = useAnswer<Info>(address(`files/${file.id}/info`));
  const classes = useAnswer<Classes>(address(`files/${file.id}/classes`, { limit: CLASSES }));
  const tiles = useAnswer<Tile>(address(`files/${file.id}/tiles`, { by }));
  if (info.error) return <Failed error={info.error} />;
  if (!info.data) return <p className="note busy">working…</p>;
  const { data } = info;
  const toClass = (id: number, name: string) => ({
    file: String(file.id),
    view: "summary",
    filter: name.slice(0, 120),
    open: String(id),
  });
  return (
    <div className="page start">
      <header className="head">
        <h1 title={file.path}>{visible(file.name)}</h1>
        <dl className="cards">
          <Card title="Heap">{size(data.total_size)}</Card>
          <Card title="Objects">{count(data.nodes)}</Card>
          <Card title="References">{count(data.edges)}</Card>
          <Card title="Classes">{count(data.classes)}</Card>
          {data.extra_native_bytes > 0 && <Card title="Native, of no object">{size(data.extra_native_bytes)}</Card>}
          {file.load_seconds !== null && <Card title="Read in">{seconds(file.load_seconds)}</Card>}
        </dl>
      </header>
      <Verdict file={file} files={files} />
      <KindBar statistics={data.statistics} />
      <section className="map">
        <div className="toolbar">
          <h2>Where the bytes are</h2>
          <div className="segments" role="group" aria-label="Treemap by">
            <button type="button" aria-pressed={by === "class"} onClick={() => step({ by: undefined, zoom: undefined })}>
              by class
            </button>
            <button type="button" aria-pressed={by === "package"} onClick={() => step({ by: "package", zoom: undefined })}>
              by package
            </button>
          </div>
          <span className="dim">
            {by === "class"
              ? "retained sizes; what lies inside of a tile would be freed with it"
              : "bytes of what a package's code and objects keep alive"}
          </span>
        </div>
        {tiles.error ? (
          <Failed error={tiles.error} />
        ) : tiles.data ? (
          <Treemap
            label={`Treemap by ${by}`}
            root={tiles.data}
            zoom={route["zoom"] ?? ""}
            onZoom={(zoom) => step({ zoom })}
            onClass={(tile) => {
              if (tile.class !== null) step({ ...toClass(tile.class, tile.name), zoom: undefined, by: undefined });
            }}
          />
        ) : (
          <div className="treemap empty">
            <p className="note busy">working…</p>
          </div>
        )}
      </section>
      <section>
        <div className="toolbar">
          <h2>Largest classes</h2>
          <a {...linkTo({ file: String(file.id), view: "summary" })}>all {count(data.classes)} classes</a>
        </div>
        {classes.error && <Failed error={classes.error} />}
        <table className="plain" aria-label="Largest classes">
          <thead>
            <tr>
              <th scope="col">Class</th>
              <th scope="col" className="number">
                Count
              </th>
              <th scope="col" className="number wide">
                Shallow size
              </th>
              <th scope="col" className="number wide">
                Retained size
              </th>
            </tr>
          </thead>
          <tbody>
            {classes.data?.rows.map((row) => (
              <tr key={row.class_id}>
                <th scope="row">
                  <a className="class" {...linkTo(toClass(row.class_id, row.name))}>
                    {visible(row.name) || "(no name)"}
                  </a>
                </th>
                <td className="number">{count(row.count)}</td>
                <td className="number">
                  <Share bytes={row.shallow_size} whole={data.total_size} />
                </td>
                <td className="number">
                  <Share bytes={row.retained_size} whole={data.total_size} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </div>
  );
}
