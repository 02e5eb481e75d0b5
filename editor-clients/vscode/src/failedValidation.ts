/**
 * A failed validation, told once: an error with what can be done about it. It stays in the tree and in the status bar until the next
 * attempt, so closing the message means to go on editing.
 */
import * as vscode from 'vscode';
import { Validation } from './protocol';
import { State } from './state';

const choices = new Map([['Review', 'molt.review'], ['Retry', 'molt.apply'], ['Discard', 'molt.discard']]);

/** "validation of struct conn (molt/conn.c:12)" */
export function titleOf(validation: Validation): string {
    return validation.file ? `${validation.title} (${validation.file}:${validation.line})` : validation.title;
}

export class FailedValidations {
    private readonly told = new Map<string, string>();

    constructor(state: State) {
        state.onDidChange(() => state.all().forEach((status) => this.consider(status.workspace, status.validation ?? undefined)));
    }

    private consider(workspace: string, validation: Validation | undefined): void {
        const text = validation ? JSON.stringify(validation) : '';
        if (this.told.get(workspace) === text) {
            return;
        }
        this.told.set(workspace, text);
        if (validation) {
            void this.tell(validation);
        }
    }

    private async tell(validation: Validation): Promise<void> {
        const instance = validation.instance ? ` Instance ${validation.instance}.` : '';
        const choice = await vscode.window.showErrorMessage(
            `Molt: the program was not updated: ${titleOf(validation)} failed: ${validation.message}.${instance}`, ...choices.keys());
        if (choice) {
            await vscode.commands.executeCommand(choices.get(choice)!);
        }
    }
}
