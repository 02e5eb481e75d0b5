/**
 * The one item in the status bar: what is pending, what runs, what became of the last update.
 */
import * as vscode from 'vscode';
import { titleOf } from './failedValidation';
import { Status } from './protocol';
import { State } from './state';

const icons = { ok: '$(pass)', warning: '$(warning)', error: '$(error)' };

function details(statuses: Status[]): vscode.MarkdownString {
    const ret = new vscode.MarkdownString('', true);
    ret.isTrusted = { enabledCommands: ['molt.review', 'molt.apply', 'molt.discard', 'molt.rollback', 'molt.log'] };
    for (const status of statuses) {
        ret.appendMarkdown('**').appendText(vscode.workspace.asRelativePath(vscode.Uri.parse(status.workspace))).appendMarkdown('**\n\n');
        for (const engine of status.engines) {
            const state = engine.state === 'ready' ? '' : `, ${engine.state}`;
            ret.appendMarkdown('$(vm-running) ').appendText(`${engine.name} (pid ${engine.pid}), ${engine.threads} threads${state}`).appendMarkdown('\n\n');
        }
        if (status.held) {
            ret.appendMarkdown('$(warning) ').appendText(`held: ${status.held}`).appendMarkdown('\n\n');
        }
        if (status.validation) {
            ret.appendMarkdown('$(error) ').appendText(`${titleOf(status.validation)}: ${status.validation.message}`).appendMarkdown('\n\n');
        } else if (status.lastUpdate) {
            ret.appendMarkdown('$(history) ').appendText(status.lastUpdate.message).appendMarkdown('\n\n');
        }
        for (const transfer of status.lastUpdate?.transfers ?? []) {
            ret.appendMarkdown('$(debug-continue) ').appendText(`taken over: ${transfer}`).appendMarkdown('\n\n');
        }
        for (const warning of status.lastUpdate?.warnings ?? []) {
            ret.appendMarkdown('$(warning) ').appendText(warning).appendMarkdown('\n\n');
        }
    }
    ret.appendMarkdown('---\n\n[Review](command:molt.review) · [Update now](command:molt.apply) · [Hold back](command:molt.discard) · '
        + '[Roll back](command:molt.rollback) · [Log](command:molt.log)');
    return ret;
}

/** The line in the bar: with nothing pending and nothing wrong, what the last update did. */
function words(status: Status): string {
    if (status.quiescent && status.validation) {
        return `validation failed: ${titleOf(status.validation)}`;
    }
    const settled = status.quiescent && status.health === 'ok' && status.phase === 'idle' && status.pending.count === 0;
    return settled && status.lastUpdate ? status.lastUpdate.message : status.message;
}

export class StatusItem implements vscode.Disposable {
    private readonly item = vscode.window.createStatusBarItem('molt.status', vscode.StatusBarAlignment.Left, 10);

    constructor(private readonly state: State) {
        this.item.name = 'Molt';
        this.item.command = 'molt.review';
        state.onDidChange(() => this.update());
    }

    private update(): void {
        const status = this.state.worst();
        if (!this.state.active || !status) {
            this.item.hide();
            return;
        }
        const icon = status.quiescent ? icons[status.health] : '$(sync~spin)';
        this.item.text = `${icon} Molt: ${words(status)}`;
        this.item.tooltip = details(this.state.all());
        this.item.accessibilityInformation = { label: `Molt: ${words(status)}` };
        this.item.show();
    }

    dispose(): void {
        this.item.dispose();
    }
}
