/** Two panes above each other, with a bar between them that moves. */
import { type ReactNode, useRef, useState } from "react";

const LEAST = 15;
const MOST = 85;

export function Split({ top, bottom }: { top: ReactNode; bottom: ReactNode }) {
  const whole = useRef<HTMLDivElement>(null);
  const [share, setShare] = useState(() => {
    const kept = Number(localStorage.getItem("split"));
    return kept >= LEAST && kept <= MOST ? kept : 60;
  });
  const set = (value: number) => {
    const next = Math.round(Math.min(MOST, Math.max(LEAST, value)));
    setShare(next);
    localStorage.setItem("split", String(next));
  };
  return (
    <div className="split" ref={whole} style={{ gridTemplateRows: `minmax(0, ${share}fr) 7px minmax(0, ${100 - share}fr)` }}>
      <div className="split-part">{top}</div>
      <div
        className="split-bar"
        role="separator"
        aria-orientation="horizontal"
        aria-label="Size of the panes"
        aria-valuenow={share}
        aria-valuemin={LEAST}
        aria-valuemax={MOST}
        tabIndex={0}
        onKeyDown={(event) => {
          const by = event.key === "ArrowUp" ? -5 : event.key === "ArrowDown" ? 5 : 0;
          if (by !== 0) {
            set(share + by);
            event.preventDefault();
          }
        }}
        onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
        onPointerMove={(event) => {
          const box = whole.current?.getBoundingClientRect();
          if (box && event.currentTarget.hasPointerCapture(event.pointerId)) {
            set(((event.clientY - box.top) / box.height) * 100);
          }
        }}
      />
      <div className="split-part">{bottom}</div>
    </div>
  );
}
