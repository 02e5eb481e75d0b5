/**
 * The commands. Each asks the server; failures are the server's to tell (window/showMessage).
 */
import * as path from 'path';
import * as vscode from 'vscode';
import { LanguageClient } from 'vscode-languageclient/node';
import { reviewRequest, Status } from './protocol';
import { runningUri } from './running';
import { State } from './state';

/** The workspace that a command is about: the active editor's, the only one, or the one that the user picks. */
async function workspaceFor(state: State): Promise<Status | undefined> {
    const statuses = state.all();
    const active = vscode.window.activeTextEditor?.document.uri.toString() ?? '';
    const inside = statuses.find((status) => active.startsWith(`${status.workspace}/`));
    if (inside || statuses.length < 2) {
        return inside ?? statuses[0];
    }
    const items = statuses.map((status) => ({
        label: vscode.workspace.asRelativePath(vscode.Uri.parse(status.workspace)), description: status.message, status,
    }));
    return (await vscode.window.showQuickPick(items, { title: 'Molt' }))?.status;
}

async function execute(client: LanguageClient, state: State, command: string): Promise<void> {
    const status = await workspaceFor(state);
    await client.sendRequest('workspace/executeCommand', { command, arguments: status ? [{ workspace: status.workspace }] : [] });
}

/** What the review shows is what is applied: documents with pending changes are saved first. */
async function apply(client: LanguageClient, state: State): Promise<void> {
    const files = new Set(state.all().flatMap((status) => status.pending.files).map((file) => vscode.Uri.parse(file.uri).toString()));
    const unsaved = vscode.workspace.textDocuments.filter((document) => document.isDirty && files.has(document.uri.toString()));
    await Promise.all(unsaved.map((document) => document.save()));
    await execute(client, state, 'molt.apply');
}

async function review(client: LanguageClient, state: State): Promise<void> {
    const status = await workspaceFor(state);
    if (!status) {
        return;
    }
    const found = await client.sendRequest(reviewRequest, { workspace: status.workspace });
    const document = await vscode.workspace.openTextDocument(vscode.Uri.parse(found.uri));
    await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true, preview: true });
}

interface WriteArgument {
    workspace?: string;
    type?: string;
    validation?: boolean;
}

/** Has the server write a policy or a validation; ARGUMENT comes with a code action, and names the type. */
async function write(client: LanguageClient, state: State, validation: boolean, argument: WriteArgument = {}): Promise<void> {
    const workspace = argument.workspace ?? (await workspaceFor(state))?.workspace;
    try {
        await client.sendRequest('workspace/executeCommand', { command: 'molt.writePolicy', arguments: [{ ...argument, workspace, validation }] });
    } catch (error) {
        void vscode.window.showWarningMessage(`Molt: ${error instanceof Error ? error.message : String(error)}.`);
    }
}

interface InstancesArgument {
    workspace?: string;
    type?: string;
}

/** Shows how many instances of a type live, and some of them; ARGUMENT comes with a lens. Without it the user is asked for a type. */
async function instances(client: LanguageClient, state: State, argument?: InstancesArgument): Promise<void> {
    const workspace = argument?.workspace ?? (await workspaceFor(state))?.workspace;
    const type = argument?.type ?? await vscode.window.showInputBox({
        title: 'Molt', prompt: 'Instances of which type? Empty: a table of all', placeHolder: 'struct conn',
    });
    if (!workspace || type === undefined) {
        return;
    }
    try {
        const found: { uri: string } = await vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title: 'Molt: counting instances' },
            () => client.sendRequest('workspace/executeCommand', { command: 'molt.instances', arguments: [{ workspace, type }] }));
        const document = await vscode.workspace.openTextDocument(vscode.Uri.parse(found.uri));
        await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.Beside, preview: true });
    } catch (error) {
        void vscode.window.showWarningMessage(`Molt: ${error instanceof Error ? error.message : String(error)}.`);
    }
}

async function compare(target: vscode.Uri | { uri: vscode.Uri } | undefined): Promise<void> {
    const uri = target instanceof vscode.Uri ? target : target?.uri ?? vscode.window.activeTextEditor?.document.uri;
    if (uri) {
        await vscode.commands.executeCommand('vscode.diff', runningUri(uri), uri, `${path.basename(uri.path)} (running ↔ edited)`);
    }
}

export function registerCommands(state: State, client: () => LanguageClient | undefined, output: vscode.LogOutputChannel,
    restart: () => Promise<void>): vscode.Disposable {
    const withClient = <Argument = undefined>(action: (client: LanguageClient, argument?: Argument) => Promise<void>) => async (argument?: Argument) => {
        const running = client();
        if (running) {
            await action(running, argument);
        } else {
            void vscode.window.showWarningMessage('Molt: the language server does not run here.');
        }
    };
    const register = vscode.commands.registerCommand;
    return vscode.Disposable.from(
        register('molt.apply', withClient((running) => apply(running, state))),
        ...['molt.discard', 'molt.rollback'].map((command) =>
            register(command, withClient((running) => execute(running, state, command)))),
        register('molt.review', withClient((running) => review(running, state))),
        register('molt.writePolicy', withClient<WriteArgument>((running, argument) =>
            write(running, state, argument?.validation ?? false, argument))),
        register('molt.writeValidation', withClient((running) => write(running, state, true))),
        register('molt.instances', withClient<InstancesArgument>((running, argument) => instances(running, state, argument))),
        register('molt.open', compare),
        register('molt.log', () => output.show()),
        register('molt.restart', restart),
    );
}
