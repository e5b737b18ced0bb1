/** A recording over time: bytes alive and RSS as areas, calls as bars. A drag, or the arrow keys, choose a stretch. */
import { useMemo, useState } from "react";

import { scaleLinear } from "d3-scale";
import { area, curveStepAfter, line } from "d3-shape";

import { count, seconds, size } from "../../lib/format";
import type { Timeline } from "../../lib/native";
import { useSize } from "../../lib/use";

/** In sizes of the page's letters, which are larger on a large screen. */
const MARGINS = { left: 5, right: 0.9, axis: 1.3 };

interface Props {
  timeline: Timeline;
  range: readonly [number, number] | undefined;
  onRange: (from: number, to: number) => void;
  tall: boolean;
}

export function Chart({ timeline, range, onRange, tall }: Props) {
  const [ref, { width }] = useSize();
  const [drag, setDrag] = useState<[number, number] | null>(null);
  const [over, setOver] = useState<number | null>(null);
  const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 13;
  const [LEFT, RIGHT, AXIS] = [MARGINS.left * rem, MARGINS.right * rem, MARGINS.axis * rem];
  const liveHeight = (tall ? 10 : 4) * rem;
  const callHeight = (tall ? 3.4 : 1.4) * rem;
  const height = liveHeight + callHeight + AXIS + 6;
  const drawn = useMemo(() => {
    const { time, end, live_bytes: live, rss, allocations, temporary } = timeline;
    const start = time[0] ?? 0;
    const x = scaleLinear([start, end], [LEFT, Math.max(LEFT + 1, width - RIGHT)]);
    const most = Math.max(1, ...live, ...rss.map((value) => value ?? 0));
    const y = scaleLinear([0, most], [liveHeight, 4]);
    const calls = Math.max(1, ...allocations);
    const h = scaleLinear([0, calls], [0, callHeight]);
    const points = [...time, end];
    const at = (values: readonly (number | null)[], i: number) => values[Math.min(i, values.length - 1)] ?? 0;
    const index = points.map((_, i) => i);
    const liveArea = area<number>((i) => x(points[i]!), liveHeight, (i) => y(at(live, i))).curve(curveStepAfter)(index);
    const hasRss = rss.some((value) => value !== null);
    // It is sampled now and then: a line goes from sample to sample.
    const rssLine = hasRss
      ? line<number>((i) => x(points[i]!), (i) => y(rss[i] ?? 0))(rss.flatMap((value, i) => (value === null ? [] : [i])))
      : null;
    const step = time.length > 0 ? (x(end) - x(start)) / time.length : 0;
    const bars = time.map((t, i) => ({ x: x(t), all: h(allocations[i] ?? 0), temporary: h(temporary?.[i] ?? 0) }));
    return { x, y, liveArea, rssLine, bars, step, most, calls };
  }, [timeline, width, liveHeight, callHeight, LEFT, RIGHT]);
  const { x } = drawn;
  const [start, end] = [timeline.time[0] ?? 0, timeline.end];
  const timeAt = (clientX: number, box: DOMRect) => Math.min(end, Math.max(start, x.invert(clientX - box.left)));
  const shown = drag ?? range;
  const hovered = over === null ? -1 : timeline.time.findLastIndex((t) => t <= over);
  const keys = (event: React.KeyboardEvent) => {
    const by = (end - start) / 40;
    const [from, to] = range ?? [start, end];
    if (event.key === "ArrowRight") onRange(event.shiftKey ? from : Math.min(from + by, to - by), event.shiftKey ? Math.min(end, to + by) : to);
    else if (event.key === "ArrowLeft") onRange(event.shiftKey ? from : Math.max(start, from - by), event.shiftKey ? Math.max(from + by, to - by) : to);
    else return;
    event.preventDefault();
  };
  return (
    <div className="chart" ref={ref}>
      {width > 0 && (
        <svg
          width={width}
          height={height}
          role="slider"
          aria-label="Stretch of time"
          aria-valuetext={shown ? `${seconds(shown[0])} to ${seconds(shown[1])}` : "the whole recording"}
          aria-valuenow={shown ? shown[0] : start}
          aria-valuemin={start}
          aria-valuemax={end}
          tabIndex={0}
          onKeyDown={keys}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            const t = timeAt(event.clientX, event.currentTarget.getBoundingClientRect());
            setDrag([t, t]);
          }}
          onPointerMove={(event) => {
            const t = timeAt(event.clientX, event.currentTarget.getBoundingClientRect());
            setOver(t);
            if (drag) setDrag([drag[0], t]);
          }}
          onPointerUp={() => {
            if (!drag) return;
            const [a, b] = drag;
            setDrag(null);
            if (Math.abs(x(a) - x(b)) > 3) onRange(Math.min(a, b), Math.max(a, b));
          }}
          onPointerLeave={() => setOver(null)}
        >
          <text x={LEFT - 6} y={0.9 * rem} className="axis end">
            {size(drawn.most)}
          </text>
          <text x={LEFT - 6} y={liveHeight} className="axis end">
            0
          </text>
          <line x1={LEFT} x2={width - RIGHT} y1={liveHeight + 0.5} y2={liveHeight + 0.5} className="base" />
          <path d={drawn.liveArea ?? ""} className="live" />
          {drawn.rssLine && <path d={drawn.rssLine} className="rss" />}
          <g transform={`translate(0 ${liveHeight + 6})`}>
            {drawn.bars.map((bar, at) => (
              <g key={at}>
                <rect x={bar.x} width={Math.max(0.5, drawn.step - 0.5)} y={callHeight - bar.all} height={bar.all} className="calls" />
                <rect x={bar.x} width={Math.max(0.5, drawn.step - 0.5)} y={callHeight - bar.temporary} height={bar.temporary} className="temporary" />
              </g>
            ))}
            <text x={LEFT - 6} y={0.8 * rem} className="axis end">
              {count(drawn.calls)}
            </text>
          </g>
          {x.ticks(Math.max(2, width / (11 * rem))).map((t) => (
            <text key={t} x={x(t)} y={height - 3} className="axis middle">
              {seconds(t)}
            </text>
          ))}
          {shown && (
            <rect
              x={Math.min(x(shown[0]), x(shown[1]))}
              width={Math.abs(x(shown[1]) - x(shown[0]))}
              y={0}
              height={height - AXIS}
              className="brush"
            />
          )}
          {over !== null && <line x1={x(over)} x2={x(over)} y1={0} y2={height - AXIS} className="cursor" />}
        </svg>
      )}
      <p className="chart-legend">
        <span className="key live" /> alive
        {drawn.rssLine && (
          <>
            <span className="key rss" /> RSS
          </>
        )}
        <span className="key calls" /> calls
        {timeline.temporary && (
          <>
            <span className="key temporary" /> temporary
          </>
        )}
        {hovered >= 0 && (
          <span className="dim">
            {" "}
            · {seconds(timeline.time[hovered]!)}: {size(timeline.live_bytes[hovered] ?? 0)} alive
            {timeline.rss[hovered] != null && `, ${size(timeline.rss[hovered]!)} RSS`},{" "}
            {count(timeline.allocations[hovered] ?? 0)} calls
            {timeline.temporary && `, ${count(timeline.temporary[hovered] ?? 0)} temporary`}
          </span>
        )}
      </p>
    </div>
  );
}
