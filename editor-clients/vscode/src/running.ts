/**
 * Quick diff against the source of the *running* program: marks in the gutter, and a comparison per file. VS Code
 * offers that to source control providers, so Molt is one; its only group holds the files with pending changes.
 */
import * as vscode from 'vscode';
import { LanguageClient } from 'vscode-languageclient/node';
import { runningRequest } from './protocol';
import { State } from './state';

/** The server answers for this address (workspace/textDocumentContent). */
export function runningUri(uri: vscode.Uri): vscode.Uri {
    return uri.with({ scheme: 'molt', query: 'running' });
}

export class Running implements vscode.QuickDiffProvider, vscode.Disposable {
    private control: vscode.SourceControl | undefined;
    private group: vscode.SourceControlResourceGroup | undefined;

    constructor(private readonly state: State, private readonly client: () => LanguageClient | undefined) {
        state.onDidChange(() => this.update());
    }

    async provideOriginalResource(uri: vscode.Uri): Promise<vscode.Uri | undefined> {
        const client = this.client();
        if (!client || !this.state.active || uri.scheme !== 'file' || !/\.(c|h|cc|cpp|hpp|cxx)$/.test(uri.path)) {
            return undefined;
        }
        const running = await client.sendRequest(runningRequest, { textDocument: { uri: uri.toString() } });
        return running.text === null ? undefined : runningUri(uri);
    }

    private update(): void {
        if (!this.state.active) {
            this.control?.dispose();
            this.control = this.group = undefined;
            return;
        }
        if (!this.control) {
            this.control = vscode.scm.createSourceControl('molt', 'Molt', vscode.workspace.workspaceFolders?.[0]?.uri);
            this.control.inputBox.visible = false;
            this.control.quickDiffProvider = this;
            this.group = this.control.createResourceGroup('pending', 'Pending in the Running Program');
            this.group.hideWhenEmpty = true;
        }
        const files = this.state.all().flatMap((status) => status.pending.files);
        this.control.count = files.length;
        this.group!.resourceStates = files.map((file) => {
            const uri = vscode.Uri.parse(file.uri);
            return {
                resourceUri: uri,
                command: { command: 'molt.open', title: 'Compare with the Running Program', arguments: [uri] },
                decorations: { tooltip: `${file.count} pending` },
            };
        });
    }

    dispose(): void {
        this.control?.dispose();
    }
}
