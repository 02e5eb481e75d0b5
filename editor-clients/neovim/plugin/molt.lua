if vim.g.loaded_molt then
  return
end
vim.g.loaded_molt = true

if vim.fn.has('nvim-0.10') == 0 then
  vim.api.nvim_echo({ { 'Molt needs Neovim 0.10 or later', 'WarningMsg' } }, true, {})
  return
end

vim.api.nvim_create_user_command('Molt', function(command)
  require('molt.command').run(command.args)
end, {
  nargs = '+',
  desc = 'Molt: update the running program',
  complete = function(lead)
    return require('molt.command').complete(lead)
  end,
})

local names = { 'apply', 'discard', 'instances', 'log', 'policy', 'review', 'rollback', 'status', 'validation' }
for _, name in ipairs(names) do
  vim.keymap.set('n', ('<Plug>(molt-%s)'):format(name), function()
    require('molt')[name]()
  end, { desc = 'Molt: ' .. name })
end

require('molt.attach').init()
