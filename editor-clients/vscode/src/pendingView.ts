/**
 * The tree of what is pending: the validation that failed, if one did; files, and in them what was added, removed or modified; the
 * types that change, and where the values of their members come from.
 */
import * as vscode from 'vscode';
import { LanguageClient } from 'vscode-languageclient/node';
import { titleOf } from './failedValidation';
import { Change, Review, reviewRequest, TypeChange, Validation } from './protocol';
import { State } from './state';

/** A row, ready to be shown, with the rows below it. */
interface Node {
    item: vscode.TreeItem;
    children: Node[];
}

const kindIcons: Record<string, string> = {
    function: 'symbol-method', type: 'symbol-structure', member: 'symbol-field', enumerator: 'symbol-enum-member',
    variable: 'symbol-variable', typedef: 'symbol-interface', macro: 'symbol-constant', include: 'symbol-file',
};

function node(label: string, description: string, icon: string | vscode.ThemeIcon, children: Node[] = []): Node {
    const item = new vscode.TreeItem(label, children.length ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.None);
    item.description = description;
    item.iconPath = typeof icon === 'string' ? new vscode.ThemeIcon(icon) : icon;
    item.accessibilityInformation = { label: `${label}, ${description}` };
    return { item, children };
}

/** Has a click on ROW open URI at LINE (from 0). */
function opens(row: Node, uri: string | null, line: number | null): Node {
    if (uri) {
        row.item.command = {
            command: 'vscode.open', title: 'Open', arguments: [vscode.Uri.parse(uri),
                { selection: new vscode.Range(line ?? 0, 0, line ?? 0, 0) } satisfies vscode.TextDocumentShowOptions],
        };
    }
    return row;
}

function changeNode(change: Change): Node {
    const row = node(change.owner ? `${change.owner}.${change.name}` : change.name, `${change.kind} ${change.action}`, kindIcons[change.kind] ?? 'symbol-misc');
    row.item.tooltip = new vscode.MarkdownString(`${change.kind} ${change.action}`)
        .appendCodeblock(change.diff || change.declaration, change.diff ? 'diff' : 'c');
    return opens(row, change.uri, change.line ?? change.oldLine);
}

function fileNodes(changes: Change[]): Node[] {
    const files = new Map<string, Node>();
    for (const change of changes) {
        const item = new vscode.TreeItem(vscode.Uri.parse(change.uri), vscode.TreeItemCollapsibleState.Expanded);
        item.contextValue = 'file';
        item.iconPath = vscode.ThemeIcon.File;
        item.description = true;
        const file = files.get(change.uri) ?? { item, children: [] };
        file.children.push(changeNode(change));
        files.set(change.uri, file);
    }
    return [...files.values()];
}

function memberNode(member: TypeChange['members'][number]): Node {
    const gone = member.name === null;
    return node(member.name ?? member.from ?? '', member.source, gone ? 'trash' : 'symbol-field');
}

function typeNode(type: TypeChange): Node {
    const row = node(type.name, type.stops ?? (type.policy ? 'by its policy' : 'by name'),
        type.stops ? new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground')) : 'symbol-structure', type.members.map(memberNode));
    row.item.collapsibleState = vscode.TreeItemCollapsibleState.Collapsed;
    row.item.tooltip = [type.reason, type.stops, type.whyNot && `No way back: ${type.whyNot}`].filter(Boolean).join('\n');
    return type.policy ? opens(row, type.policy.uri, type.policy.line) : opens(row, type.uri, type.line);
}

function typeNodes({ types = [], sites }: Review): Node[] {
    const unknown = (sites?.unknown ?? []).map((site) => node(`${site.file}:${site.line}`, `${site.function}: ${site.reason}`, 'question'));
    if (!types.length) {
        return [];
    }
    const rows = types.map(typeNode);
    if (unknown.length) {
        const group = node('Not understood', `${unknown.length} allocation call${unknown.length === 1 ? '' : 's'}`, 'question', unknown);
        group.item.collapsibleState = vscode.TreeItemCollapsibleState.Collapsed;
        rows.push(group);
    }
    return [node('Types of live instances', String(types.length), 'symbol-class', rows)];
}

function validationNode(validation: Validation): Node {
    const values = validation.values.map((value) => {
        const differs = value.old !== value.new;
        return node(value.member, differs ? `${value.old ?? '-'} → ${value.new ?? '-'}` : value.new ?? '-', differs ? 'diff-modified' : 'symbol-field');
    });
    const row = node('Validation failed', titleOf(validation), new vscode.ThemeIcon('error', new vscode.ThemeColor('list.errorForeground')),
        [node(validation.message, validation.instance, 'info'), ...values]);
    row.item.contextValue = 'validation';
    row.item.tooltip = `${titleOf(validation)}: ${validation.message}`;
    return opens(row, validation.uri, validation.row);
}

export class PendingView implements vscode.TreeDataProvider<Node>, vscode.Disposable {
    private readonly changed = new vscode.EventEmitter<void>();
    readonly onDidChangeTreeData = this.changed.event;
    private readonly view: vscode.TreeView<Node>;

    constructor(private readonly state: State, private readonly client: () => LanguageClient | undefined) {
        this.view = vscode.window.createTreeView<Node>('molt.pending', { treeDataProvider: this, showCollapseAll: true });
        state.onDidChange(() => this.refresh());
    }

    private refresh(): void {
        const count = this.state.pending;
        const status = this.state.worst();
        this.view.badge = count > 0 ? { value: count, tooltip: `${count} pending change${count === 1 ? '' : 's'}` } : undefined;
        this.view.message = count === 0 ? undefined : status?.held ? `Held: ${status.held}`
            : status?.pending.heldBack ? 'Held back until the next edit' : undefined;
        this.changed.fire();
    }

    getTreeItem({ item }: Node): vscode.TreeItem {
        return item;
    }

    async getChildren(row?: Node): Promise<Node[]> {
        const client = this.client();
        if (row || !client || !this.state.active) {
            return row?.children ?? [];
        }
        const failed = this.state.all().flatMap((status) => status.validation ? [validationNode(status.validation)] : []);
        const reviews = await Promise.all(this.state.all().filter((status) => status.pending.count > 0)
            .map((status) => client.sendRequest(reviewRequest, { workspace: status.workspace })));
        return [...failed, ...fileNodes(reviews.flatMap((review) => review.changes)), ...reviews.flatMap(typeNodes)];
    }

    dispose(): void {
        this.view.dispose();
        this.changed.dispose();
    }
}
