/** Lists of nodes as trees: what is below a row is another list of the same kind, or the row's own edges. */
import { type NodeRow, address, get } from "./api";
import type { Load, PageOf } from "./tree";
import type { Sorting } from "../parts/TreeTable";

export interface Question {
  file: number;
  of: "instances" | "children" | "retainers" | "dominated" | "search" | "copies";
  id?: number | undefined;
  class_id?: number | undefined;
  only?: string | undefined;
  text?: string | undefined;
}

export function listAddress(question: Question, offset: number, limit: number, sorting?: Sorting): string {
  const { file, ...rest } = question;
  return address(`files/${file}/list`, {
    ...rest,
    sort: sorting?.by,
    ascending: sorting?.ascending,
    offset: offset || undefined,
    limit,
  });
}

/** Loads a list and, below each row, the list `below` of the row's node. */
export function nodeLoader(
  question: Question,
  below: "children" | "retainers" | "dominated",
  sorting?: Sorting,
): Load<NodeRow> {
  return (parent, offset, limit, signal) => {
    const asked: Question = parent ? { file: question.file, of: below, id: parent.id } : question;
    return get<PageOf<NodeRow>>(listAddress(asked, offset, limit, sorting), signal);
  };
}

/** A line of a list of groups: a group, or below one a node. */
export type GroupRow<G> = { group: G; node?: undefined } | { node: NodeRow; group?: undefined };

/** Loads groups, below a group the list of its nodes, and below a node what it refers to. */
export function groupLoader<G>(
  file: number,
  groups: (offset: number, limit: number) => string,
  nodesOf: (group: G) => Omit<Question, "file">,
  sorting?: Sorting,
): Load<GroupRow<G>> {
  return async (parent, offset, limit, signal) => {
    if (!parent) return groupPage(await get<PageOf<G>>(groups(offset, limit), signal));
    const asked: Question = parent.node ? { file, of: "children", id: parent.node.id } : { file, ...nodesOf(parent.group) };
    const page = await get<PageOf<NodeRow>>(listAddress(asked, offset, limit, sorting), signal);
    return { ...page, rows: page.rows.map((node) => ({ node })) };
  };
}

export function groupPage<G>(page: PageOf<G>): PageOf<GroupRow<G>> {
  return { ...page, rows: page.rows.map((group) => ({ group })) };
}

/** Siblings can be one node twice, by different edges. */
export function nodeKey(node: NodeRow): string {
  return node.edge ? `${node.id}.${hash(node.edge.type + node.edge.name)}` : String(node.id);
}

/** A short name for a text, for addresses. */
function hash(text: string): string {
  let sum = 0;
  for (let i = 0; i < text.length; i += 1) sum = (sum * 31 + text.charCodeAt(i)) | 0;
  return (sum >>> 0).toString(36);
}
