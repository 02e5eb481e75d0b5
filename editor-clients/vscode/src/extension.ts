/**
 * Starts the language server in a trusted workspace and shows what it says. All logic is in the server.
 */
import * as vscode from 'vscode';
import { LanguageClient, State as ClientState } from 'vscode-languageclient/node';
import { createClient } from './client';
import { registerCommands } from './commands';
import { FailedValidations } from './failedValidation';
import { PendingView } from './pendingView';
import { statusNotification } from './protocol';
import { ReviewColors } from './reviewColors';
import { Running } from './running';
import { serverSettings } from './settings';
import { State } from './state';
import { StatusItem } from './statusItem';

let client: LanguageClient | undefined;

async function start(state: State, output: vscode.LogOutputChannel): Promise<void> {
    const starting = createClient(output);
    starting.onNotification(statusNotification, (status) => state.set(status));
    starting.onDidChangeState((event) => state.setActive(event.newState === ClientState.Running));
    client = starting;
    try {
        await starting.start();
    } catch (error) {
        client = undefined;
        output.error(String(error));
        const choice = await vscode.window.showErrorMessage(
            `Molt: the language server could not be started: ${String(error)}`, 'Open Settings');
        if (choice) {
            await vscode.commands.executeCommand('workbench.action.openSettings', 'molt.server.path');
        }
    }
}

async function stop(): Promise<void> {
    const stopping = client;
    client = undefined;
    await stopping?.dispose();
}

export async function activate(context: vscode.ExtensionContext): Promise<void> {
    const output = vscode.window.createOutputChannel('Molt', { log: true });
    const state = new State();
    const current = () => client;
    new FailedValidations(state);
    const restart = async () => {
        await stop();
        await start(state, output);
    };
    context.subscriptions.push(
        output, state, new StatusItem(state), new PendingView(state, current), new Running(state, current), new ReviewColors(),
        registerCommands(state, current, output, restart),
        vscode.workspace.onDidChangeConfiguration(async (event) => {
            if (event.affectsConfiguration('molt.server')) {
                await restart();
            } else if (event.affectsConfiguration('molt')) {
                await client?.sendNotification('workspace/didChangeConfiguration', { settings: { molt: serverSettings() } });
            }
        }),
    );
    if (vscode.workspace.isTrusted) {
        await start(state, output);
    } else {
        context.subscriptions.push(vscode.workspace.onDidGrantWorkspaceTrust(() => start(state, output)));
    }
}

export async function deactivate(): Promise<void> {
    await stop();
}
