/** All views, in the order of the navigation. A third group, both heaps joined, goes here when it comes. */
import type { FC } from "react";

import type { FileState } from "../lib/api";
import { Comparison } from "./Comparison";
import { Containment } from "./Containment";
import { Dominators } from "./Dominators";
import { Merged } from "./Merged";
import { NATIVE_VIEWS } from "./native/list";
import { Search } from "./Search";
import { Start } from "./Start";
import { StatisticsView } from "./Statistics";
import { Strings } from "./Strings";
import { Summary } from "./Summary";

export interface ViewProps {
  file: FileState;
  files: FileState[];
}

export interface View {
  name: string;
  title: string;
  Body: FC<ViewProps>;
  /** Reached from other views, not from the navigation. */
  isHidden?: boolean;
}

export interface Group {
  title: string;
  kind: NonNullable<FileState["kind"]>;
  views: View[];
}

export const GROUPS: Group[] = [
  {
    title: "JS heap",
    kind: "js-snapshot",
    views: [
      { name: "start", title: "Start", Body: Start },
      { name: "summary", title: "Summary", Body: Summary },
      { name: "comparison", title: "Comparison", Body: Comparison },
      { name: "containment", title: "Containment", Body: Containment },
      { name: "dominators", title: "Dominators", Body: Dominators },
      { name: "statistics", title: "Statistics", Body: StatisticsView },
      { name: "strings", title: "Duplicate strings", Body: Strings },
      { name: "paths", title: "Merged paths", Body: Merged },
      { name: "search", title: "Search", Body: Search, isHidden: true },
    ],
  },
  { title: "Native heap", kind: "native-trace", views: NATIVE_VIEWS },
];

/** The view of a name, or the first one for this kind of file. */
export function viewOf(name: string | undefined, kind: NonNullable<FileState["kind"]>): View {
  const views = GROUPS.filter((group) => group.kind === kind).flatMap((group) => group.views);
  const found = views.find((view) => view.name === name) ?? views[0];
  if (!found) throw new Error(`no views for ${kind}`);
  return found;
}
