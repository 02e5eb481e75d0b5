/**
 * The tree of the pending change set: files, and in them what was added, removed or modified.
 */
import * as vscode from 'vscode';
import { LanguageClient } from 'vscode-languageclient/node';
import { Change, reviewRequest } from './protocol';
import { State } from './state';

interface FileNode {
    uri: vscode.Uri;
    changes: Change[];
}

type Node = FileNode | Change;

const kindIcons: Record<string, string> = {
    function: 'symbol-method', type: 'symbol-structure', member: 'symbol-field', enumerator: 'symbol-enum-member',
    variable: 'symbol-variable', typedef: 'symbol-interface', macro: 'symbol-constant', include: 'symbol-file',
};

function isFile(node: Node): node is FileNode {
    return 'changes' in node;
}

function byFile(changes: Change[]): FileNode[] {
    const files = new Map<string, FileNode>();
    for (const change of changes) {
        const node = files.get(change.uri) ?? { uri: vscode.Uri.parse(change.uri), changes: [] };
        node.changes.push(change);
        files.set(change.uri, node);
    }
    return [...files.values()];
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

    getTreeItem(node: Node): vscode.TreeItem {
        return isFile(node) ? this.fileItem(node) : this.changeItem(node);
    }

    private fileItem(node: FileNode): vscode.TreeItem {
        const item = new vscode.TreeItem(node.uri, vscode.TreeItemCollapsibleState.Expanded);
        item.contextValue = 'file';
        item.iconPath = vscode.ThemeIcon.File;
        item.description = true;
        return item;
    }

    private changeItem(change: Change): vscode.TreeItem {
        const item = new vscode.TreeItem(change.owner ? `${change.owner}.${change.name}` : change.name);
        item.description = `${change.kind} ${change.action}`;
        item.iconPath = new vscode.ThemeIcon(kindIcons[change.kind] ?? 'symbol-misc');
        item.tooltip = new vscode.MarkdownString(`${change.kind} ${change.action}`)
            .appendCodeblock(change.diff || change.declaration, change.diff ? 'diff' : 'c');
        item.accessibilityInformation = { label: `${change.name}, ${change.kind} ${change.action}` };
        const line = change.line ?? change.oldLine ?? 0;
        item.command = {
            command: 'vscode.open', title: 'Open',
            arguments: [vscode.Uri.parse(change.uri), { selection: new vscode.Range(line, 0, line, 0) } satisfies vscode.TextDocumentShowOptions],
        };
        return item;
    }

    async getChildren(node?: Node): Promise<Node[]> {
        if (node) {
            return isFile(node) ? node.changes : [];
        }
        const client = this.client();
        if (!client || !this.state.active) {
            return [];
        }
        const reviews = await Promise.all(this.state.all().filter((status) => status.pending.count > 0)
            .map((status) => client.sendRequest(reviewRequest, { workspace: status.workspace })));
        return byFile(reviews.flatMap((review) => review.changes));
    }

    getParent(): undefined {
        return undefined;
    }

    dispose(): void {
        this.view.dispose();
        this.changed.dispose();
    }
}
